/** A gRPC server that decodes checks of Envoy and lets all go forward, for `gateways.mjs`. */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { loadCheckProtocol } from '../../dist/gateway/envoy/grpc/check-protocol.js';

const { check } = loadCheckProtocol();
const allowed = { status: { code: 0 }, okResponse: { headers: [], headersToRemove: [] } };
const server = new Server({ 'grpc.enable_channelz': 0 });
server.addService({ check }, { check: (_call, done) => done(null, allowed) });
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  console.log(`listening on http://127.0.0.1:${port}`);
});
