import type { Logger } from 'pino';
import { type Config, listIn } from '../config/config.js';
import { AccessTokens } from './access-tokens.js';
import type { TokenVerifierOptions } from './token-verifier.js';

/**
 * The access tokens of the configured issuers, for one audience or more; undefined where no issuer is configured.
 *
 * @param onCaller called with the name of each caller whose token was verified
 */
export function accessTokensOf(
  config: Config,
  audience: string | undefined,
  logger: Pick<Logger, 'error'>,
  onCaller?: (name: string) => void,
): AccessTokens | undefined {
  const verifier = verifierOptionsOf(config, logger);
  if (verifier === undefined) return undefined;
  const { jwtScopeClaim: scopeClaim } = config;
  return new AccessTokens({
    ...verifier,
    audience: listIn(audience),
    ...(scopeClaim !== undefined && { scopeClaim }),
    ...(onCaller !== undefined && { onCaller }),
  });
}

/** How tokens of the configured issuers are verified; undefined where no issuer is configured. */
export function verifierOptionsOf(config: Config, logger: Pick<Logger, 'error'>): TokenVerifierOptions | undefined {
  if (config.jwtIssuer === undefined) return undefined;
  const jwksUrls = listIn(config.jwtJwksUrl);
  return {
    issuers: listIn(config.jwtIssuer).map((issuer, index) => {
      const jwksUrl = jwksUrls[index];
      return { issuer, ...(jwksUrl !== undefined && { jwksUrl }) };
    }),
    algorithms: listIn(config.jwtAlgorithms),
    clockSkewSeconds: config.jwtClockSkew,
    maxLifetimeSeconds: config.jwtMaxLifetime,
    keysMaxAgeSeconds: config.jwtKeysMaxAge,
    onProblem: (issuer, error) =>
      logger.error({ err: error, issuer }, 'the keys of the token issuer cannot be fetched'),
  };
}
