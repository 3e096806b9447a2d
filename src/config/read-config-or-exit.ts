/** Reads the configuration, or ends the process. */
import type { Config } from './config.js';
import { ConfigError, type ReadConfig, readConfig } from './read-config.js';

/** EX_CONFIG of sysexits.h: the environment must be changed before another start can succeed. */
export const exitConfig = 78;

/** Defaults of `verdict serve --local`, and so of `npm start`. */
export const localDefaults: Partial<Config> = Object.freeze({ policyDir: './policies', auth: 'none' });

/**
 * Returns the configuration. If the environment is not valid, writes every problem to standard error and ends the
 * process.
 */
export function readConfigOrExit(env: NodeJS.ProcessEnv, defaults: Partial<Config>): ReadConfig {
  try {
    return readConfig(env, defaults);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    exitForConfig(error);
  }
}

export function exitForConfig(error: ConfigError): never {
  process.stderr.write(`verdict: ${error.message}\n`);
  process.exit(exitConfig);
}
