import type { Call, ForkCall, WaitpidCall } from '../../call.ts';
import type { CallLinks } from '../../resources/index.ts';
import type { Plan } from './plan.ts';

/** Writes the steps of a program, each done by the process that it belongs to. */
export interface Processes {
  /** Lets the process of a record begin, when it is a new one. */
  before(call: Call, links: CallLinks): void;
  /** Lines that the process with this pid does. */
  step(pid: number, lines: readonly string[]): void;
  /** A fork or waitpid of the trace. */
  act(call: ForkCall | WaitpidCall): void;
  /** Ends the processes that end after a record. */
  after(call: Call): void;
}

/** A program of one process has no turns: its steps are blocks. */
export function createProcesses({ processes, exits }: Plan, write: (text: string) => void): Processes {
  const isMulti = processes.size > 1;
  const parents = new Map<number, number>();
  const alive = new Set<number>(processes.size > 0 ? [[...processes.keys()][0]!] : []);
  let steps = 0;

  const step = (pid: number, lines: readonly string[]): void => {
    const head = isMulti ? `STEP(${steps}, ${processes.get(pid)}) {` : '{';
    write(`\t${head}\n${lines.map((line) => `\t\t${line}`).join('\n')}\n\t}`);
    steps += 1;
  };

  const begin = (pid: number, parent: number | null): void => {
    if (alive.has(pid)) return;
    const from = parent !== null && alive.has(parent) ? parent : [...alive][0];
    if (from === undefined) return;
    write(`\t/* process ${processes.get(pid)} begins: ${pid} in the trace */`);
    step(from, [`begin_process(${processes.get(pid)});`]);
    parents.set(pid, from);
    alive.add(pid);
  };

  const end = (pid: number): void => {
    // The process that the program began as prints the sum.
    if (!alive.has(pid) || processes.get(pid) === 0) return;
    const who = processes.get(pid);
    write(`\t/* process ${who} ends */`);
    step(pid, [`end_turn(${steps}, ${who});`, '_exit(0);']);
    alive.delete(pid);
    const parent = parents.get(pid);
    if (parent !== undefined && alive.has(parent)) step(parent, [`waitpid(pids[${who}], NULL, 0);`]);
  };

  return {
    before: (call, { begins }) => {
      if (isMulti && begins !== null && begins.pid === call.pid) begin(begins.pid, begins.parent);
    },
    step,
    act: (call) => {
      if (call.op === 'fork') begin(call.child, call.pid);
      else end(call.child);
    },
    after: (call) => {
      for (const pid of exits.get(call.seq) ?? []) end(pid);
    },
  };
}
