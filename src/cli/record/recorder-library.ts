import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { UsageError } from '../errors.ts';

/** Where `npm run build:recorder` puts the preload library, below our package.json. */
const LIBRARY = 'dist/recorder/libioasis-record.so';

/**
 * Path of the preload library.
 * @throws UsageError when it was not built.
 */
export function findLibrary(given: string | undefined): string {
  const path = given ?? join(packageFolder(), LIBRARY);
  if (existsSync(path)) return path;
  throw new UsageError(`${path}: the recorder is not built yet: run npm run build:recorder (needs cc)`);
}

function packageFolder(): string {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const path = join(folder, 'package.json');
    if (existsSync(path)) {
      const { name } = JSON.parse(readFileSync(path, 'utf8')) as { name?: string };
      if (name === 'ioasis') return folder;
    }
    if (folder === dirname(folder)) return '.';
  }
}
