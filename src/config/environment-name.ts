/** The name of a deployment (`VERDICT_ENV`), which its API keys carry. */
export const environmentName = /^[a-z0-9]{1,16}$/;

/** The default of `VERDICT_ENV`. */
export const defaultEnvironment = 'prod';
