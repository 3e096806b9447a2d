import { readFileSync } from 'node:fs';

/** The content of the file of a secret, without the line feed that editors put at its end. */
export function readSecretFile(file: string): string {
  return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
}

/**
 * A secret out of the environment, for commands that need no other configuration: the variable, or the file that the one with
 * `_FILE` behind its name names. Undefined when neither is set.
 *
 * @throws Error when both are set, or the file cannot be read
 */
export function readSecretVariable(name: string, env: NodeJS.ProcessEnv): string | undefined {
  const [value, file] = [env[name] ?? '', env[`${name}_FILE`] ?? ''];
  if (value !== '' && file !== '') throw new Error(`${name} is set twice: as ${name} and as ${name}_FILE`);
  if (file === '') return value === '' ? undefined : value;
  try {
    return readSecretFile(file);
  } catch (error) {
    throw new Error(`${name}_FILE cannot be read: ${(error as Error).message}`);
  }
}
