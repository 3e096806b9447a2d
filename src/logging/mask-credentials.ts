/** Finds API keys (see `auth/api-key.ts`) in any text, as a secret scanner would. */
export const apiKeyPattern = 'vd_[a-z0-9]{1,16}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}';

/** API keys, and what looks like a signed token or the value of an `Authorization` header. */
const credentialPattern = new RegExp(
  `${apiKeyPattern}|eyJ[\\w-]{8,}\\.[\\w-]+\\.[\\w-]*|\\b(?:Basic|Bearer) +[\\w+/=.~-]{8,}`,
  'gi',
);

/** Replaces every credential in a text, so that it may be logged. */
export function maskCredentials(text: string): string {
  return text.replace(credentialPattern, '[credential]');
}
