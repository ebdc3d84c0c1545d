import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { UsageError } from '../errors.ts';

/** Program header types of an ELF file. */
const PT_INTERP = 3;
const HEAD_BYTES = 65536;
const INTERPRETERS_MAX = 5;
const ELF_64 = 2;
const LITTLE_ENDIAN = 1;

/**
 * Refuses what a preload library does not get into: a program that is not dynamically linked, has privileges
 * of its own, or is of another architecture. A script is looked at by its interpreter.
 * @returns Path of the program.
 * @throws UsageError
 */
export function requireDynamicProgram(command: string): string {
  const path = findProgram(command);
  let program = path;
  for (let depth = 0; depth < INTERPRETERS_MAX; depth += 1) {
    const head = readHead(program);
    const interpreter = interpreterOf(head);
    if (interpreter === null) {
      requireDynamicElf(program, head);
      return path;
    }
    program = findProgram(interpreter);
  }
  throw new UsageError(`${path}: its interpreters need interpreters themselves`);
}

/** The file that the shell would run for a name. */
function findProgram(command: string): string {
  const places = command.includes('/')
    ? [command]
    : (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, command));
  const found = places.find((place) => existsSync(place) && statSync(place).isFile());
  if (found === undefined) throw new UsageError(`${command}: no such program`);
  return found;
}

function readHead(path: string): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    throw new UsageError(`${path}: cannot be read, so nobody knows whether it is dynamically linked`, {
      cause: error,
    });
  }
  try {
    return head.subarray(0, readSync(fd, head, 0, head.length, 0));
  } finally {
    closeSync(fd);
  }
}

/** What stands behind `#!`, without its arguments; for `env NAME` the name. */
function interpreterOf(head: Buffer): string | null {
  if (head.toString('latin1', 0, 2) !== '#!') return null;
  const line = head.toString('utf8', 2, 512).split('\n', 1)[0] ?? '';
  const words = line.trim().split(/\s+/);
  const isEnv = /\/env$/.test(words[0] ?? '');
  const name = isEnv ? words.slice(1).find((word) => !word.startsWith('-') && !word.includes('=')) : words[0];
  if (name === undefined || name === '') throw new UsageError('a script names no interpreter');
  return name;
}

function requireDynamicElf(path: string, head: Buffer): void {
  if (head.length < 64 || head.toString('latin1', 0, 4) !== '\u007fELF') {
    throw new UsageError(`${path}: is neither an ELF program nor a script`);
  }
  if (head[4] !== ELF_64 || head[5] !== LITTLE_ENDIAN) {
    throw new UsageError(`${path}: is no 64-bit little-endian program, use bpftrace (recorder/bpftrace)`);
  }
  const { mode } = statSync(path);
  // ld.so ignores LD_PRELOAD in them.
  if ((mode & 0o6000) !== 0 && process.getuid?.() !== 0) {
    throw new UsageError(`${path}: is set-user-ID or set-group-ID, use bpftrace (recorder/bpftrace)`);
  }
  const offset = Number(head.readBigUInt64LE(32));
  const size = head.readUInt16LE(54);
  const count = head.readUInt16LE(56);
  for (let index = 0; index < count && offset + (index + 1) * size <= head.length; index += 1) {
    if (head.readUInt32LE(offset + index * size) === PT_INTERP) return;
  }
  throw new UsageError(`${path}: is not dynamically linked, use bpftrace (recorder/bpftrace)`);
}
