import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

/** The project's own TypeScript, for the tests that look at it. */

const ROOT = join(import.meta.dirname, '..', '..');
const FOLDERS = ['src', 'machines', 'store', 'replay', 'bench', 'conformance', 'test'];

export interface SourceFile {
  /** Path from the root of the project. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  /** Text without comments. */
  readonly code: string;
  readonly imports: readonly Import[];
}

export interface Import {
  /** Path from the root of the project for a file of ours, else the name of a package. */
  readonly target: string;
  readonly isOurs: boolean;
}

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s[^;'"]*?from\s+'([^']+)'|(?:^|\n)\s*import\s+'([^']+)'|import\('([^']+)'\)/g;

export function readSources(): SourceFile[] {
  return FOLDERS.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
      .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length + 1)),
  )
    .sort()
    .map((path) => readSource(path, readFileSync(join(ROOT, path), 'utf8')));
}

export function readSource(path: string, text: string): SourceFile {
  const code = withoutComments(text);
  return { path, text, lines: text.split('\n'), code, imports: importsOf(path, code) };
}

function importsOf(path: string, code: string): Import[] {
  return [...code.matchAll(IMPORT)].map((match) => {
    const name = match[1] ?? match[2] ?? match[3]!;
    const isOurs = name.startsWith('.');
    return { target: isOurs ? normalize(join(dirname(path), name)) : name, isOurs };
  });
}

/** Blanks out comments; strings and templates stay, so that a `//` in one is no comment. */
function withoutComments(text: string): string {
  return text.replace(/'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, (token) =>
    token.startsWith('/') ? token.replace(/[^\n]/g, ' ') : token,
  );
}

/** The part of the tree that a file belongs to: `src/model`, `store`, `test`. */
export function partOf(path: string): string {
  const [first, second] = path.split('/');
  return first === 'src' ? `src/${second}` : first!;
}

/** A cycle of imports among files as the paths along it, or null. */
export function findCycle(imports: ReadonlyMap<string, readonly string[]>): readonly string[] | null {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): readonly string[] | null => {
    const at = path.indexOf(file);
    if (at >= 0) return [...path.slice(at), file];
    if (done.has(file)) return null;
    path.push(file);
    for (const next of imports.get(file) ?? []) {
      const cycle = visit(next);
      if (cycle !== null) return cycle;
    }
    path.pop();
    done.add(file);
    return null;
  };
  for (const file of imports.keys()) {
    const cycle = visit(file);
    if (cycle !== null) return cycle;
  }
  return null;
}
