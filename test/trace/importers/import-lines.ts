import type { ForeignFormat, ImportSink, UnplacedCall } from '../../../src/trace/importers/index.ts';
import { findIoctl } from '../../../src/uapi/index.ts';

/** What an importer made of some lines. */
export interface Imported {
  readonly calls: readonly UnplacedCall[];
  readonly skipped: readonly string[];
  /** Losses in the order in which they were noticed. */
  readonly lost: readonly (number | null)[];
}

/** Reads lines with one importer. */
export function importLines(format: ForeignFormat, lines: Iterable<string>): Imported {
  const calls: UnplacedCall[] = [];
  const skipped: string[] = [];
  const lost: (number | null)[] = [];
  const sink: ImportSink = {
    call: (call) => calls.push(call) - 1,
    skip: (name) => void skipped.push(name),
    lost: (events) => void lost.push(events),
  };
  const importer = format.start(sink);
  for (const line of lines) importer.line(line);
  importer.end();
  return { calls, skipped, lost };
}

/** As text, one call a line; losses only where there are some. */
export function shown(format: ForeignFormat, lines: Iterable<string>) {
  const { calls, skipped, lost } = importLines(format, lines);
  const firstPid = calls[0]?.pid;
  const texts = calls.map((call) => `${call.pid === firstPid ? '' : `[${call.pid}] `}${textOf(call)}`);
  return { calls: texts, skipped, ...(lost.length === 0 ? {} : { lost }) };
}

function textOf(call: UnplacedCall): string {
  const { partial } = call;
  const missing =
    partial === undefined || partial.missing.length === 0 ? '' : ` | missing ${partial.missing.join(' ')}`;
  const doubtful = partial?.doubtful === undefined ? '' : ` | doubtful`;
  const implied = partial?.implied === undefined ? '' : ` | implied`;
  return `${bodyOf(call)}${missing}${doubtful}${implied}`;
}

function bodyOf(call: UnplacedCall): string {
  const result =
    'replied' in call ? ` = ${call.replied ? call.ret : '?'}${call.errno ? ` errno ${call.errno}` : ''}` : '';
  switch (call.op) {
    case 'open':
      return `open ${call.path} ${call.kind}${result}`;
    case 'ioctl': {
      const name = findIoctl(call.kind, call.cmd)?.name ?? `0x${call.cmd.toString(16)}`;
      const hex = (bytes: Uint8Array | null) =>
        bytes === null ? '' : ` ${Buffer.from(bytes).toString('hex')}`;
      const out = call.out === null || call.out === call.arg ? '' : ` ->${hex(call.out)}`;
      const structs = `${hex(call.arg)}${out}`;
      return `ioctl ${call.fd} ${call.kind} ${name} argp 0x${call.argp.toString(16)}${structs}${result}`;
    }
    case 'close':
    case 'read':
    case 'write':
    case 'pread':
    case 'pwrite':
      return `${call.op} ${call.fd} ${call.kind}${result}`;
    case 'mmap':
      return `mmap ${call.fd} ${call.kind} = ${call.mapped === null ? '?' : `0x${call.mapped.toString(16)}`}`;
    case 'call':
      return `${call.name} ${JSON.stringify(call.args)}${result}`;
    default:
      return `${call.op}${result}`;
  }
}
