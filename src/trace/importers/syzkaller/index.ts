import { EMPTY_HEADER } from '../../parse-header.ts';
import type { ForeignFormat, ImportSink, LineImporter } from '../importer.ts';
import { parseSyzLine } from './parse.ts';
import { createProgram, type Program } from './program.ts';

/**
 * Programs of syzkaller, as in its corpus, its tests and reproducers (`*.syz`, `.txt`): requests without
 * answers. Numbers that earlier calls answer are named, and a replay fills them in.
 */
export const SYZKALLER: ForeignFormat = {
  name: 'syzkaller',
  title: 'a syzkaller program',
  header: { ...EMPTY_HEADER, producer: 'syzkaller' },
  detects: (line) => {
    if (!/^(?:r\d+ = )?[a-z_][a-z0-9_]*(?:\$[A-Za-z0-9_$]+)?\(/.test(line)) return false;
    // strace's lines have a result; only programs have variants, results of calls and typed pointers.
    return /^(?:r\d+ = |[a-z_0-9]+\$)|\(&\(0x|&AUTO/.test(line) && parseSyzLine(line) !== null;
  },
  start: startPrograms,
};

/** What syzkaller's logs print before each program. */
const EXECUTING = /\bexecuting program (?:(\d{1,9})\b)?/;
const PID_FIRST = 1000;

function startPrograms(sink: ImportSink): LineImporter {
  let count = 0;
  let program: Program = createProgram(sink, PID_FIRST, count);
  return {
    line(line) {
      const executing = EXECUTING.exec(line);
      if (executing !== null) {
        count += 1;
        program = createProgram(sink, PID_FIRST + Number(executing[1] ?? 0), count);
        sink.skip('beginning of a program');
        return;
      }
      if (line.trimStart().startsWith('#')) {
        sink.skip('comment');
        return;
      }
      const call = parseSyzLine(line.trim());
      if (call === null) sink.skip('message');
      else if (!program.call(call)) sink.skip(call.name);
    },
    end: () => undefined,
  };
}
