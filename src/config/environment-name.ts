/** The name of a deployment (`VERDICT_ENV`), which its API keys carry. */
export const environmentName = /^[a-z0-9]{1,16}$/;

/** What keys are made for where nothing else is configured. */
export const defaultEnvironment = 'prod';
