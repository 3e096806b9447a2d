import { type Command, Option } from 'commander';
import { collect, outputOption } from '../options.js';
import type { Terminal } from '../print/terminal.js';
import { buildBundles, signBundles } from './bundle-build.js';
import { asUsageError } from './bundle-options.js';
import { pushBundles, refreshIndex } from './bundle-push.js';
import { verifyBundles } from './bundle-verify.js';

/** Signed policy bundles: made, checked and published, without a service. */
export function addBundleCommand(program: Command, terminal: Terminal): void {
  const bundle = program.command('bundle').summary('publish policy sets as signed bundles');
  const keyOption = () =>
    new Option('--key <file>', 'the private key that signs; else VERDICT_BUNDLE_SIGNING_KEY holds it');
  const keysOption = (what: string) => new Option('--keys <place>', `${what}; may be repeated`).argParser(collect);
  const unsignedOption = () => new Option('--unsigned', 'nothing is signed, and no signature is asked for');
  const lifetimeOption = () =>
    new Option('--lifetime <time>', 'how long the index lives, such as 90m, 24h or 7d').default('24h');
  const toOption = () =>
    new Option('--to <url>', 'the folder of bundles: a path, file://, https:// or s3://; else VERDICT_BUNDLE_URL');

  add('push [sets...]', pushBundles)
    .summary('publish policy sets, and the index that names them')
    .description(
      'Checks policy sets as the service does when it loads them, packs, signs and uploads those that changed, and writes\n' +
        'the index anew. A folder gets the next revision; an archive (.tar) that `build` made has its own. Exit code 1\n' +
        'when a set does not load; nothing is published then.',
    )
    .addOption(toOption())
    .addOption(keyOption())
    .addOption(keysOption('whose signatures count of what is there: a file, or the URL of a JWKS. Default: --key'))
    .addOption(unsignedOption())
    .addOption(lifetimeOption())
    .option('--prune', 'sets that are not given go out of the index')
    .option('--rollback', 'a lower revision is meant')
    .addOption(outputOption('text', 'json'))
    .addHelpText('after', '\nExample:\n  verdict bundle push policies --to s3://bundles/prod --key bundle-key.pem\n');
  add('refresh', refreshIndex)
    .summary('let the index live on')
    .description('Writes the index anew with a later end. Run it more often than --lifetime says.')
    .addOption(toOption())
    .addOption(keyOption())
    .addOption(keysOption('whose signatures count of what is there: a file, or the URL of a JWKS. Default: --key'))
    .addOption(unsignedOption())
    .addOption(lifetimeOption())
    .option('--resign', 'sign the archives anew, too: after that, an earlier key can be dropped')
    .addOption(outputOption('text', 'json'))
    .addHelpText('after', '\nExample:\n  verdict bundle refresh --to s3://bundles/prod --key bundle-key.pem\n');
  add('verify <bundles>', verifyBundles)
    .summary('check an archive, or a folder of bundles with its index')
    .description(
      'Checks signatures, digests, revisions and content, of one archive or of all that an index names. Exit code 1 when\n' +
        'a service would refuse something.',
    )
    .addOption(keysOption('whose signatures count: a file, or the URL of a JWKS'))
    .addOption(unsignedOption())
    .addOption(outputOption('text', 'json'))
    .addHelpText(
      'after',
      '\nExamples:\n  verdict bundle verify s3://bundles/prod --keys bundle-keys.pem\n' +
        '  verdict bundle verify dist/invoices-7.tar --keys bundle-keys.pem\n',
    );
  add('build [folders...]', buildBundles)
    .summary('pack policy sets, the same bytes each time')
    .description(
      'Writes an archive `<set>-<revision>.tar` for each set. The same files, revision, time and commit give the same\n' +
        'bytes. The time is that of the git commit, or of SOURCE_DATE_EPOCH. Exit code 1 when a set does not load.',
    )
    .requiredOption('--revision <number>', 'revision of the sets, from 1 on')
    .requiredOption('--out <folder>', 'where to write')
    .option('--created <time>', 'RFC 3339, instead of the time of the commit')
    .option('--commit <id>', 'the git commit, where the folder is not in its work tree')
    .addHelpText('after', '\nExample:\n  verdict bundle build policies --revision 7 --out dist\n');
  add('sign <archives...>', signBundles)
    .summary('sign archives')
    .description('Writes the signature of each archive beside it, as `<archive>.jws`.')
    .addOption(keyOption())
    .addHelpText('after', '\nExample:\n  verdict bundle sign dist/invoices-7.tar --key bundle-key.pem\n');

  type Run = (given: readonly string[], options: never, terminal: Terminal) => Promise<number>;

  function add(command: string, run: Run): Command {
    return bundle.command(command).action(async (...given: unknown[]) => {
      const [options] = given.slice(-2) as [never, Command];
      const paths = given.slice(0, -2).flat() as string[];
      process.exitCode = await run(paths, options, terminal).catch(asUsageError);
    });
  }
}
