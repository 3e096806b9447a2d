/** What `npm run build` makes of the packages that the service imports. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import module from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const dist = fileURLToPath(new URL('../../dist/', import.meta.url));
const own = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.js') && !file.startsWith('dependencies'),
);

function importsOf(file: string): readonly string[] {
  const text = readFileSync(join(dist, file), 'utf8');
  return ts.preProcessFile(text, true, true).importedFiles.map(({ fileName }) => fileName);
}

describe('the built service', () => {
  it('imports no package by its name but those that find files beside themselves', () => {
    const named = own.flatMap(importsOf).filter((name) => !name.startsWith('.') && !name.startsWith('node:'));
    expect([...new Set(named)].sort()).toEqual(['casbin', 'sqlite3']);
  });

  it('has of each package the exports that Node finds in it', () => {
    // Asked of Node itself: the test runner has its own idea of what a CommonJS package exports.
    const script = `
      const [bundled, installed] = [await import(process.argv[1]), await import(process.argv[2])];
      const shape = (exports) => Object.keys(exports).sort().filter((name) => name !== 'module.exports' && name !== '__esModule')
        .map((name) => [name, typeof exports[name]]);
      console.log(JSON.stringify([shape(bundled), shape(installed)]));`;
    for (const [name, file] of [
      ['class-validator', 'class-validator.js'],
      ['typeorm', 'typeorm.js'],
      ['@nestjs/common', 'nestjs-common.js'],
      ['@fastify/cors', 'fastify-cors.js'],
      ['pino', 'pino.js'],
    ] as const) {
      const args = ['--input-type=module', '-e', script, join(dist, 'dependencies', file), name];
      const [bundled, installed] = JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', cwd: dist }));
      expect(bundled, name).toEqual(installed);
    }
  });

  it('has its own files line for line as the compiler wrote them, so that a stack trace names file and function', () => {
    const script = `const { readConfig } = await import(${JSON.stringify(join(dist, 'config/read-config.js'))});
      try { readConfig({ VERDICT_PORT: 'x' }); } catch (error) { console.log(error.stack); }`;
    const stack = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    const [, line] = /at readConfig \(.*\/dist\/config\/read-config\.js:(\d+):\d+\)/.exec(stack)!;
    expect(readFileSync(join(dist, 'config/read-config.js'), 'utf8').split('\n')[Number(line) - 1]).toContain(
      'throw new ConfigError(',
    );
  });

  it('keeps compiled code beside itself, where Node can', () => {
    const { enableCompileCache } = module as { enableCompileCache?: unknown };
    execFileSync(process.execPath, [join(dist, 'cli.js'), '--version'], { stdio: 'ignore' });
    const made = readdirSync(dist).includes('.compile-cache');
    expect(made).toBe(enableCompileCache !== undefined);
  });
});
