import { type Config, listIn } from '../config/config.js';
import { AccessTokens } from './access-tokens.js';

export interface AccessTokensListeners {
  /** Called with the name of each caller whose token was verified. */
  readonly onCaller?: (name: string) => void;
  /** Called if the keys of an issuer cannot be fetched. */
  readonly onProblem: (issuer: string, error: unknown) => void;
}

/** The access tokens of the configured issuers, for one audience or more; undefined where no issuer is configured. */
export function accessTokensOf(
  config: Config,
  audience: string | undefined,
  listeners: AccessTokensListeners,
): AccessTokens | undefined {
  if (config.jwtIssuer === undefined) return undefined;
  const jwksUrls = listIn(config.jwtJwksUrl);
  const { jwtScopeClaim: scopeClaim } = config;
  return new AccessTokens({
    issuers: listIn(config.jwtIssuer).map((issuer, index) => {
      const jwksUrl = jwksUrls[index];
      return { issuer, ...(jwksUrl !== undefined && { jwksUrl }) };
    }),
    audience: listIn(audience),
    algorithms: listIn(config.jwtAlgorithms),
    clockSkewSeconds: config.jwtClockSkew,
    maxLifetimeSeconds: config.jwtMaxLifetime,
    keysMaxAgeSeconds: config.jwtKeysMaxAge,
    ...(scopeClaim !== undefined && { scopeClaim }),
    ...listeners,
  });
}
