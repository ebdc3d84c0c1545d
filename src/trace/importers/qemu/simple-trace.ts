import { TraceError } from '../../errors.ts';
import type { LineSplitter } from '../../line-splitter.ts';
import { DECLARATIONS } from './simple-events.ts';

/**
 * The file of QEMU's simple backend (trace/simple.c; version 4 of the format, since 2.10): a header, and
 * records of two types, of which one gives an event number its name. Each event becomes the line that
 * scripts/simpletrace.py prints for it; of an event that nobody reads, its name only.
 */

/** The header begins with an event number of all ones, and a magic number. */
export const SIMPLE_MAGIC = Buffer.from('ffffffffffffffffb429a40acb77b1f2', 'hex');

const HEADER_BYTES = 24;
const VERSION = 4n;
const TYPE_MAPPING = 0n;
const TYPE_EVENT = 1n;
const DROPPED = 0xffff_ffff_ffff_fffen;
/** Event number, time, length and process of an event; the length counts these too. */
const RECORD_BYTES = 24;
/** QEMU's buffer holds this much, so no record is longer. */
const RECORD_BYTES_MAX = 256 * 1024;
const NAME_BYTES_MAX = 4096;
const EVENTS_MAX = 65_536;

/** Reads a binary trace in pieces; `lineNumber` counts its records. */
export function createSimpleTraceReader(
  fileName: string,
  visit: (line: string) => void,
  lost: (events: number) => void,
): LineSplitter {
  const names = new Map<bigint, string>();
  let held: Buffer = Buffer.alloc(0);
  let records = 0;
  let lastNs: bigint | null = null;

  const fail = (problem: string): never => {
    throw new TraceError({ fileName, lineNumber: records }, problem);
  };

  const readHeader = (): number => {
    if (held.length < HEADER_BYTES) return 0;
    const version = held.readBigUInt64LE(16);
    if (version !== VERSION) {
      const advice = "print it with QEMU's scripts/simpletrace.py, and import that";
      fail(
        `is a trace of QEMU's simple backend in version ${version}, which has no names of events: ${advice}`,
      );
    }
    records = 1;
    return HEADER_BYTES;
  };

  const readMapping = (at: number): number => {
    if (held.length < at + 12) return 0;
    const length = held.readUInt32LE(at + 8);
    if (length > NAME_BYTES_MAX || names.size === EVENTS_MAX)
      fail('the binary trace is damaged: an event name');
    if (held.length < at + 12 + length) return 0;
    names.set(held.readBigUInt64LE(at), held.toString('latin1', at + 12, at + 12 + length));
    return at + 12 + length;
  };

  const readEvent = (at: number): number => {
    if (held.length < at + RECORD_BYTES) return 0;
    const length = held.readUInt32LE(at + 16);
    if (length < RECORD_BYTES || length > RECORD_BYTES_MAX)
      fail('the binary trace is damaged: a record length');
    const end = at + length;
    if (held.length < end) return 0;
    const id = held.readBigUInt64LE(at);
    const ns = held.readBigUInt64LE(at + 8);
    const content = held.subarray(at + RECORD_BYTES, end);
    if (id === DROPPED) {
      lost(content.length >= 8 ? Number(content.readBigUInt64LE(0)) : 1);
      return end;
    }
    const name = names.get(id) ?? 'unnamed_event';
    const passed = Number(ns - (lastNs ?? ns)) / 1000;
    lastNs = ns;
    visit(`${name} ${passed.toFixed(3)} pid=${held.readUInt32LE(at + 20)}${argumentsOf(name, content)}`);
    return end;
  };

  /** Answers where the next record begins; 0 when not all of this one is there. */
  const readRecord = (at: number): number => {
    if (held.length < at + 8) return 0;
    const type = held.readBigUInt64LE(at);
    if (type !== TYPE_MAPPING && type !== TYPE_EVENT) fail('the binary trace is damaged: a record type');
    return type === TYPE_MAPPING ? readMapping(at + 8) : readEvent(at + 8);
  };

  return {
    push(chunk) {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      let at = records === 0 ? readHeader() : 0;
      if (records === 0) return;
      for (;;) {
        const next = readRecord(at);
        if (next === 0) break;
        records += 1;
        at = next;
      }
      held = held.subarray(at);
    },
    end() {
      // The last record of a QEMU that was killed may be cut; so may be that of a copy.
      if (held.length > 0) visit('message of a record that was cut off');
    },
    lineNumber: () => records,
  };
}

/** ` name=0x…` for each argument; nothing when the record is not as any version declares it. */
function argumentsOf(event: string, content: Buffer): string {
  for (const declared of DECLARATIONS[event] ?? []) {
    const text = readArguments(declared.split(' '), content);
    if (text !== null) return text;
  }
  return '';
}

function readArguments(names: readonly string[], content: Buffer): string | null {
  let at = 0;
  let text = '';
  for (const name of names) {
    const isText = name.startsWith('$');
    if (content.length < at + (isText ? 4 : 8)) return null;
    if (!isText) {
      text += ` ${name}=0x${content.readBigUInt64LE(at).toString(16)}`;
      at += 8;
      continue;
    }
    const length = content.readUInt32LE(at);
    if (content.length < at + 4 + length) return null;
    const value = content.toString('latin1', at + 4, at + 4 + length).replaceAll("'", '?');
    text += ` ${name.slice(1)}=b'${value}'`;
    at += 4 + length;
  }
  return at === content.length ? text : null;
}
