import { readFileSync } from 'node:fs';
import { Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { type Call, VerdictModule, type VerdictModuleOptions } from '@verdict/nestjs';
import { HealthController } from './health.controller.js';
import { InvoicesController } from './invoices.controller.js';
import { Invoices } from './invoices.js';
import { SignInGuard } from './sign-in.guard.js';

const { VERDICT_URL = 'http://127.0.0.1:3000', VERDICT_API_KEY, VERDICT_API_KEY_FILE, VERDICT_MODE } = process.env;

/** A secret of Docker or Kubernetes is a file. */
const apiKey = VERDICT_API_KEY_FILE === undefined ? VERDICT_API_KEY : readFileSync(VERDICT_API_KEY_FILE, 'utf8').trim();
const service = { baseUrl: VERDICT_URL, ...(apiKey !== undefined && { apiKey }) };

/** Each address is of a tenant, and roles are held in one. */
const environment = ({ params }: Call) => ({ tenant: params.tenant });

/** Asks Verdict, or decides in this process by the policies that Verdict gives it. */
const verdict: VerdictModuleOptions =
  VERDICT_MODE === 'local'
    ? { ...service, environment, mode: 'local', policySets: ['invoices'] }
    : { ...service, environment, policySet: 'invoices', batch: true };

@Module({
  imports: [VerdictModule.forRoot(verdict)],
  controllers: [InvoicesController, HealthController],
  providers: [Invoices, { provide: APP_GUARD, useClass: SignInGuard }],
})
export class AppModule {}
