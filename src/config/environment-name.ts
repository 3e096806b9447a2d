/** The name of a deployment (`VERDICT_ENV`), which its API keys carry. */
export const ENVIRONMENT_NAME = /^[a-z0-9]{1,16}$/;

/** What keys are made for where nothing else is configured. */
export const DEFAULT_ENVIRONMENT = 'prod';
