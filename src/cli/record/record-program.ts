import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, chmodSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { constants as osConstants, tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { fileError, UsageError } from '../errors.ts';
import { openCaptureFile } from './capture-file.ts';
import { captureHeader } from './capture-header.ts';
import { createConverter } from './converter.ts';
import { createDrain } from './drain.ts';
import { openSpool } from './spool.ts';

/** Bytes of the ring of each process: some thousand calls. */
const RING_BYTES = 8 * 1024 * 1024;
/** A cycle that takes this much shows a busy program: the rings come first. */
const BUSY_BYTES = 256 * 1024;
/** Longest piece of conversion between two looks at the rings, and the pauses between looks. */
const CONVERT_MS = 3;
const PAUSE_MIN_MS = 1;
const PAUSE_MAX_MS = 8;
/** After a signal, how long the program may take to end before it is left alone. */
const GRACE_MS = 5000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface RecordOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly out: string;
  readonly library: string;
  readonly followsForks: boolean;
  /** `DEVICE=PATH`: what is open at PATH stands for DEVICE. */
  readonly devices: readonly string[];
  /** The program's standard output goes to standard error. */
  readonly keepsStdout: boolean;
  /** Words for whoever started the recording. */
  remark(text: string): void;
}

/** What a recording came to. */
export interface RecordSummary {
  /** Exit code as a shell sees it; of a program that goes on, that of the signal that ended the recording. */
  readonly exitCode: number;
  readonly counts: Readonly<Record<string, number>>;
  /** Records that a process began and did not finish. */
  readonly torn: number;
  /** Processes that go on without being recorded. */
  readonly leftRunning: readonly number[];
}

/**
 * Runs a program and records it. The capture gets its name when it is whole.
 * @throws UsageError when the capture cannot be written; the program then runs to its end unrecorded.
 */
export async function recordProgram(options: RecordOptions): Promise<RecordSummary> {
  const spoolFolder = makeFolder(
    join(dirname(resolve(options.out)), `.${basename(options.out)}.spool-`),
    options.out,
  );
  const rings = makeRingFolder();
  try {
    return await recordThrough(options, rings, spoolFolder);
  } finally {
    rmSync(rings, { recursive: true, force: true });
    rmSync(spoolFolder, { recursive: true, force: true });
  }
}

async function recordThrough(
  options: RecordOptions,
  rings: string,
  spoolFolder: string,
): Promise<RecordSummary> {
  const file = openCaptureFile(options.out);
  const spool = openSpool(spoolFolder, rings);
  const drain = createDrain(rings, spool);
  let child: ChildProcess | null = null;
  try {
    file.write(`${captureHeader()}\n`);
    const converter = createConverter(spool, file.write);
    child = await start(options, rings);
    const ending = watchEnd(child, options);
    let pauseMs = PAUSE_MIN_MS;
    for (;;) {
      const taken = drain.cycle();
      if (file.failure() !== null) break;
      if (ending.isOver(drain.livePids())) break;
      const isBusy = taken >= BUSY_BYTES;
      const hasMore = !isBusy && !file.isBehind() && converter.work(CONVERT_MS);
      if (taken > 0) pauseMs = PAUSE_MIN_MS;
      if (taken > 0 || hasMore) await setImmediate();
      else {
        await setTimeout(pauseMs);
        pauseMs = Math.min(pauseMs * 2, PAUSE_MAX_MS);
      }
    }
    drain.stop();
    while (drain.cycle() > 0);
    const leftRunning = drain.livePids().filter((pid) => pid !== child?.pid || ending.exitCode() === null);
    while (converter.work(CONVERT_MS)) {
      if (file.failure() !== null) break;
      await setImmediate();
      while (file.isBehind() && file.failure() === null) await setTimeout(PAUSE_MIN_MS);
    }
    converter.finish();
    await file.finish();
    ending.stop();
    return {
      exitCode: ending.exitCode() ?? ending.signalCode(),
      counts: converter.counts,
      torn: drain.torn(),
      leftRunning,
    };
  } catch (error) {
    drain.stop();
    file.discard();
    if (child !== null && child.exitCode === null && child.signalCode === null) {
      options.remark(`the recording ends here (${(error as Error).message}), the program goes on`);
      await once(child, 'exit');
    }
    throw error;
  } finally {
    drain.close();
    spool.close();
  }
}

/** A folder in memory where there is one. Others may add to it when we are root: programs change users. */
function makeRingFolder(): string {
  const parent = ['/dev/shm', tmpdir()].find((folder) => {
    try {
      accessSync(folder, constants.W_OK | constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  const folder = makeFolder(join(parent ?? '.', 'ioasis-record-'), parent ?? '.');
  if (process.getuid?.() === 0) chmodSync(folder, 0o1733);
  return folder;
}

function makeFolder(prefix: string, path: string): string {
  try {
    return mkdtempSync(prefix);
  } catch (error) {
    throw fileError(path, error);
  }
}

async function start(options: RecordOptions, rings: string): Promise<ChildProcess> {
  const preload = process.env['LD_PRELOAD'];
  const child = spawn(options.command, options.args, {
    stdio: ['inherit', options.keepsStdout ? 2 : 'inherit', 'inherit'],
    env: {
      ...process.env,
      // Ours first: what another library changes of a call is what the kernel gets.
      LD_PRELOAD: preload ? `${options.library}:${preload}` : options.library,
      IOASIS_RECORD_FOLDER: rings,
      IOASIS_RECORD_FOLLOW: options.followsForks ? '1' : '0',
      IOASIS_RECORD_RING: String(RING_BYTES),
      IOASIS_RECORD_PID: String(process.pid),
      IOASIS_RECORD_DEVICES: options.devices.join('\n'),
    },
  });
  await new Promise<void>((started, failed) => {
    child.once('spawn', started);
    child.once('error', (error: NodeJS.ErrnoException) =>
      failed(new UsageError(`${options.command}: cannot be run (${error.code ?? error.message})`)),
    );
  });
  return child;
}

/** Knows when a recording is over: the program has ended, or somebody wants no more. */
interface Ending {
  isOver(livePids: readonly number[]): boolean;
  /** Null while the program runs. */
  exitCode(): number | null;
  signalCode(): number;
  stop(): void;
}

function watchEnd(child: ChildProcess, { followsForks }: RecordOptions): Ending {
  let exitCode: number | null = null;
  let signalCount = 0;
  let lastSignal: NodeJS.Signals = 'SIGINT';
  let graceUntilMs = Number.POSITIVE_INFINITY;
  child.once('exit', (code, signal) => {
    exitCode = code ?? 128 + (signal === null ? 0 : osConstants.signals[signal]);
  });
  const onSignal = (signal: NodeJS.Signals): void => {
    signalCount += 1;
    lastSignal = signal;
    if (signalCount > 1) return;
    graceUntilMs = performance.now() + GRACE_MS;
    // A terminal has told the program already, as it tells all processes in front of it.
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  return {
    isOver(livePids) {
      if (signalCount > 1 || performance.now() > graceUntilMs) return true;
      if (exitCode === null) return false;
      return !followsForks || signalCount > 0 || livePids.length === 0;
    },
    exitCode: () => exitCode,
    signalCode: () => 128 + osConstants.signals[lastSignal],
    stop() {
      for (const signal of SIGNALS) process.off(signal, onSignal);
    },
  };
}
