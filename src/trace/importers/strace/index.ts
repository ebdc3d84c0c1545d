import { EMPTY_HEADER } from '../../parse-header.ts';
import { kindOfLink } from '../descriptors.ts';
import type { ForeignFormat, ImportSink, LineImporter } from '../importer.ts';
import { isOurCommand } from '../observed-call.ts';
import { createCalls, type StraceCall } from './calls.ts';
import { readCall, readStraceLine } from './line.ts';
import { commandIn, descriptorIn } from './values.ts';

/**
 * The output of strace, with or without -f, -y, -yy, -Y, -t, -tt, -ttt, -r, -T, -X, -i, -n and -k. It names
 * commands and results and does not decode the structs of iommufd and VFIO: of most calls all but the struct
 * is imported.
 */
export const STRACE: ForeignFormat = {
  name: 'strace',
  title: 'strace',
  header: { ...EMPTY_HEADER, producer: 'strace' },
  detects: (line) => {
    const { body } = readStraceLine(line);
    if (body.type === 'resumed') return true;
    return body.type === 'unfinished' || (body.type === 'call' && /^[-?0-9]/.test(body.result));
  },
  start: startStrace,
};

/** strace says so on stderr when it has attached to a thread, also in the middle of a line. */
const ATTACHED = /^strace: Process \d{1,10} attached$/;
/** A line that goes on behind such words; longer is none of strace. */
const BROKEN_CHARS_MAX = 1024 * 1024;

/** The beginning of a call that such words cut off; null for any other line. */
function brokenBy(line: string): string | null {
  const at = line.lastIndexOf('strace: Process ');
  if (at <= 0 || !ATTACHED.test(line.slice(at))) return null;
  const beginning = line.slice(0, at);
  return beginning.includes('(') ? beginning : null;
}

/** Calls of threads that have not ended; a thread has one at most. */
const WAITING_MAX = 65_536;

function startStrace(sink: ImportSink): LineImporter {
  const calls = createCalls(sink);
  const waiting = new Map<number, { readonly text: string; readonly tNs: bigint | null }>();

  /** A call that the log leaves open: the thread ended in it, or the log did. */
  const abandon = (tid: number): void => {
    const open = waiting.get(tid);
    if (open === undefined) return;
    waiting.delete(tid);
    const call = readCall(`${open.text.replace(/,?\s*$/, '')}) = ?`);
    if (call === null || !isOurs(call)) sink.skip('unfinished call');
    else calls.call({ ...call, tid, tNs: open.tNs });
  };

  /**
   * The thread whose call goes on. On stderr strace leaves out the number of a thread that is the only one,
   * so that one half of a call may have it and the other not.
   */
  const beginningOf = (tid: number | null, name: string): number => {
    if (waiting.has(tid ?? 0)) return tid ?? 0;
    const isSame = ({ text }: { readonly text: string }): boolean => text.startsWith(`${name}(`);
    if (tid !== null) return waiting.has(0) && isSame(waiting.get(0)!) ? 0 : tid;
    const same = [...waiting].filter(([, open]) => isSame(open));
    return same.length === 1 ? same[0]![0] : 0;
  };

  /** A line that a message of strace broke, which goes on behind that. */
  let broken = '';

  return {
    line(part) {
      const beginning = brokenBy(part);
      if (beginning !== null && broken.length + beginning.length <= BROKEN_CHARS_MAX) {
        broken += beginning;
        return;
      }
      const line = broken === '' ? part : broken + part;
      broken = '';
      const { tid: shown, tNs, body } = readStraceLine(line);
      const tid = shown ?? 0;
      switch (body.type) {
        case 'call':
          abandon(tid);
          calls.call({ ...body, tid, tNs });
          return;
        case 'unfinished':
          abandon(tid);
          if (waiting.size < WAITING_MAX) waiting.set(tid, { text: body.text, tNs });
          else sink.skip('unfinished call');
          return;
        case 'resumed': {
          const from = beginningOf(shown, body.name);
          const open = waiting.get(from);
          waiting.delete(from);
          const isSame = open?.text.startsWith(`${body.name}(`) === true;
          const call = isSame ? readCall(join(open.text, body.text)) : null;
          // The end of a call whose beginning the log does not have answers nothing that is known.
          if (call === null) {
            sink.skip(isSame ? 'damaged line' : 'end of a call without its beginning');
            if (open !== undefined && !isSame) sink.skip('unfinished call');
          } else {
            calls.call({ ...call, tid, tNs: open?.tNs ?? tNs });
          }
          return;
        }
        case 'exited':
          abandon(tid);
          calls.exited(tid);
          sink.skip('end of a thread or process');
          return;
        case 'signal':
          sink.skip('signal');
          return;
        default:
          sink.skip('message');
      }
    },
    end() {
      if (broken !== '') sink.skip('unfinished call');
      for (const tid of [...waiting.keys()]) abandon(tid);
    },
  };
}

/** strace ends the first half behind an argument, with or without its comma. */
function join(first: string, rest: string): string {
  const glue = /[(,{[]$/.test(first) || /^\s*[),}\]]/.test(rest) ? ' ' : ', ';
  return `${first}${glue}${rest}`;
}

/** An ioctl of iommufd or VFIO, or an open of theirs: worth keeping although nothing answered it. */
function isOurs({ name, args }: Pick<StraceCall, 'name' | 'args'>): boolean {
  if (name !== 'ioctl') return false;
  const link = descriptorIn(args[0])?.link;
  const cmd = commandIn(args[1]);
  return (cmd !== null && isOurCommand(cmd)) || (link != null && kindOfLink(link) !== null);
}
