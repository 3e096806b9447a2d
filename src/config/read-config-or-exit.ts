/** The configuration for a process that cannot go on without one. */
import type { Config } from './config.js';
import { ConfigError, type ReadConfig, readConfig } from './read-config.js';

/** EX_CONFIG of sysexits.h: the environment must be changed before another start can succeed. */
const exitConfig = 78;

/** What `verdict serve --local` (and so `npm start`) takes where the environment says nothing. */
export const localDefaults: Partial<Config> = Object.freeze({ policyDir: './policies', auth: 'none' });

/** Ends the process, every problem on standard error, where the environment is not valid. */
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
