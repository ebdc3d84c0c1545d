import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll } from 'vitest';

export const ROOT = resolve(import.meta.dirname, '../..');
const CACHE = join(ROOT, 'node_modules/.cache/ioasis-cli-test');
const SOURCES = ['src', 'machines', 'store', 'replay', 'bench'];
const STALE_MS = 60 * 60 * 1000;

/** What a process left: its exit code (null when a signal ended it) and its words. */
export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly stdin?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  readonly nodeArgs?: readonly string[];
}

/** One example of the repository: a real trace. */
export const EXAMPLE = join(ROOT, 'examples/iommufd_mock_domain.two_domains.basic.jsonl.gz');
export const EXAMPLE_NAME = 'iommufd_mock_domain.two_domains.basic';
export const EXAMPLES = readdirSync(join(ROOT, 'examples'))
  .filter((name) => name.endsWith('.jsonl.gz'))
  .map((name) => join(ROOT, 'examples', name));

/** Lines of the example, without the newlines. */
export function exampleLines(): string[] {
  return gunzipSync(readFileSync(EXAMPLE)).toString('utf8').trimEnd().split('\n');
}

/** A folder that is gone after the tests of this file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ioasis-cli-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Path of the command line tool, compiled from the sources as they are now; `dist/` may be absent or old. */
export function builtCli(): string {
  const folder = join(CACHE, sourcesKey());
  if (!existsSync(folder)) build(folder);
  return join(folder, 'src/cli/main.js');
}

/** Test files run side by side: each builds apart, and the first to be ready wins. */
function build(folder: string): void {
  const draft = `${folder}.${process.pid}`;
  mkdirSync(draft, { recursive: true });
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const args = [tsc, '-p', 'tsconfig.build.json', '--outDir', draft];
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });
  if (status !== 0) {
    rmSync(draft, { recursive: true, force: true });
    throw new Error(`the sources do not compile:\n${stdout}`);
  }
  writeFileSync(join(draft, 'package.json'), '{"type":"module"}');
  try {
    renameSync(draft, folder);
  } catch {
    rmSync(draft, { recursive: true, force: true });
  }
  for (const name of readdirSync(CACHE)) {
    const path = join(CACHE, name);
    const isStale = existsSync(path) && Date.now() - statSync(path).mtimeMs > STALE_MS;
    if (isStale && path !== folder) rmSync(path, { recursive: true, force: true });
  }
}

function sourcesKey(): string {
  const hash = createHash('sha256');
  for (const source of SOURCES) {
    const names = readdirSync(join(ROOT, source), { recursive: true }).map(String).sort();
    for (const name of names.filter((found) => found.endsWith('.ts'))) {
      hash.update(`${source}/${name}\n`).update(readFileSync(join(ROOT, source, name)));
    }
  }
  return hash.digest('hex').slice(0, 16);
}

/** Runs `ioasis` with these arguments as a process of its own. */
export function runCli(args: readonly string[], options: RunOptions = {}): Promise<Run> {
  return runCommand(process.execPath, [...(options.nodeArgs ?? []), builtCli(), ...args], options);
}

/** Runs a command and gathers what it writes. */
export function runCommand(command: string, args: readonly string[], options: RunOptions = {}): Promise<Run> {
  const { NO_COLOR: _, FORCE_COLOR: __, ...env } = process.env;
  return new Promise((done, fail) => {
    const child = spawn(command, args, { cwd: options.cwd ?? ROOT, env: { ...env, ...options.env } });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', fail);
    child.on('close', (code) => done({ code, stdout, stderr }));
    // The process may end without reading its input.
    child.stdin.on('error', () => {});
    child.stdin.end(options.stdin ?? '');
  });
}

/** Lines of a text that ends with a newline. */
export function linesOf(text: string): string[] {
  return text === '' ? [] : text.replace(/\n$/, '').split('\n');
}
