import type { Call } from '../call.ts';
import { createResourceTracker, type Resource } from '../resources/index.ts';
import { codeOfCall } from './c/call.ts';
import { canMake } from './c/expressions.ts';
import { commentOf, createLiterals, quote } from './c/literals.ts';
import { createNames, type Plan, planProgram } from './c/plan.ts';
import { PRELUDE } from './c/prelude.ts';
import { LIMITS, PROCESSES } from './c/prelude-processes.ts';
import { createProcesses } from './c/processes.ts';
import { createExportTally, type ExportSource, type ExportSummary, type WriteText } from './source.ts';

/** Calls of one C function: compilers take more than linear time for long ones. */
const CALLS_A_FUNCTION = 100;

export interface CExportOptions {
  /** One line that says what a call is, for the comment above it. */
  readonly describe: (call: Call) => string;
}

/**
 * Writes a C program that makes the calls of a trace again and prints each result next to the recorded one.
 *
 * Numbers that the kernel chooses are variables: an id or descriptor that a call answered stands, wherever a
 * later call names it, for what this run's kernel answered; until then, and where the kernel refuses, for the
 * recorded number. User memory is where it was, or at an address that is as well aligned. All other bytes are
 * exact. Processes are forked as recorded and take turns; threads are not told apart.
 */
export function exportC(source: ExportSource, write: WriteText, { describe }: CExportOptions): ExportSummary {
  const plan = planProgram(source);
  const tally = createExportTally();
  const nameOf = createNames();
  // Names and initial numbers of all variables come first, so the trace is read once more for them.
  const resources = namedResources(source, plan, nameOf);
  write(`${headOf(source)}\n${PRELUDE}${plan.hasLimits ? LIMITS : ''}`);
  const isMulti = plan.processes.size > 1;
  if (isMulti) write(`${PROCESSES.replace('pids[]', `pids[${plan.processes.size}]`)}`);
  writeVariables(resources, nameOf, write);

  const functions: string[] = [];
  let lines: string[] = [];
  const endFunction = (): void => {
    if (lines.length === 0) return;
    const name = `calls_${functions.length}`;
    functions.push(name);
    write(`\nstatic void ${name}(void)\n{\n${lines.join('\n')}\n}\n`);
    lines = [];
  };
  const literals = createLiterals(write);
  const tracker = createResourceTracker(plan.memory);
  const processes = createProcesses(plan, (text) => lines.push(text));
  let calls = 0;
  for (const call of source.calls()) {
    const links = tracker.next(call);
    processes.before(call, links);
    const code = codeOfCall(call, links, { literals, nameOf });
    if (call.op === 'fork' || call.op === 'waitpid') {
      processes.act(call);
      tally.wrote();
    } else if ('leftOut' in code) {
      tally.leftOut(code.leftOut);
      if (!code.leftOut.startsWith('note'))
        lines.push(`\t${commentOf(`left out: ${call.seq} ${describe(call)}`)}`);
    } else {
      lines.push(`\t${commentOf(`${call.seq}  ${describe(call)}`)}`);
      processes.step(call.pid, code.lines);
      tally.wrote();
    }
    processes.after(call);
    calls += 1;
    if (calls % CALLS_A_FUNCTION === 0) endFunction();
  }
  endFunction();
  writeMain(plan, resources, nameOf, functions, write);
  return tally.summary();
}

function headOf({ name, header }: ExportSource): string {
  const kernel =
    header.kernel === null ? 'a kernel that the capture does not name' : `Linux ${header.kernel}`;
  return [
    commentOf(`Calls of the trace ${name}, recorded on ${kernel}; written by ioasis.`),
    commentOf(
      'Build: cc -Wall -o replay replay.c. Each line of the output is a call: what was recorded, what',
    ),
    commentOf('this kernel answers, and whether they are the same. Exit status: 0 all the same, 1 not.'),
  ].join('\n');
}

/** Every resource that calls name, in the order of their first appearance. */
function namedResources(
  source: ExportSource,
  plan: Plan,
  nameOf: (resource: Resource) => string,
): readonly Resource[] {
  const tracker = createResourceTracker(plan.memory);
  for (const call of source.calls()) tracker.next(call);
  for (const resource of tracker.resources) nameOf(resource);
  return tracker.resources;
}

function writeVariables(
  resources: readonly Resource[],
  nameOf: (resource: Resource) => string,
  write: WriteText,
): void {
  const typeOf = ({ type }: Resource): string =>
    type === 'memory' || type === 'iova' ? 'uint64_t' : type === 'descriptor' ? 'int' : 'uint32_t';
  write('\n/* What the kernel chooses: the recorded numbers, until this kernel chose its own. */\n');
  const fields = resources.map((resource) => `\t${typeOf(resource)} ${nameOf(resource)};`);
  write(`struct numbers {\n\tint none;\n${fields.map((line) => `${line}\n`).join('')}};\n`);
  const values = resources
    .filter(({ recorded }) => recorded !== 0n)
    .map((resource) => `\t.${nameOf(resource)} = 0x${resource.recorded.toString(16)},\n`);
  write(`static const struct numbers recorded = {\n\t.none = 0,\n${values.join('')}};\n`);
  write('static MAYBE_UNUSED struct numbers *v;\n');
}

function writeMain(
  plan: Plan,
  resources: readonly Resource[],
  nameOf: (resource: Resource) => string,
  functions: readonly string[],
  write: WriteText,
): void {
  const isMulti = plan.processes.size > 1;
  const before = resources
    .filter(({ type, madeBy }) => type === 'memory' && madeBy === null)
    .map((memory) => {
      const at = `0x${memory.recorded.toString(16)}, 0x${memory.lengthBytes.toString(16)}`;
      return `v->${nameOf(memory)} = memory_before(${at});`;
    });
  const opened = resources
    .filter((resource) => resource.type === 'descriptor' && resource.madeBy === null && canMake(resource))
    .map((resource) => `v->${nameOf(resource)} = ${openingOf(resource)};`);
  const lines = [
    'shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);',
    'v = mmap(NULL, sizeof(*v), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);',
    'arena = mmap(NULL, 2 * ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);',
    'if ((void *)shared == MAP_FAILED || (void *)v == MAP_FAILED || (void *)arena == MAP_FAILED)',
    '\tfail("mmap");',
    'munmap(arena + ARENA_BYTES, ARENA_BYTES);',
    '*v = recorded;',
    ...before,
    ...opened,
    ...functions.map((name) => `${name}();`),
    ...(isMulti
      ? ['fflush(stdout);', 'if (me != 0)', '\t_exit(0);', 'while (wait(NULL) > 0 || errno == EINTR)', '\t;']
      : []),
    'printf("%ld of %ld calls answered as recorded, %ld of %ld structs and buffers\\n", shared->same,',
    '       shared->calls, shared->same_structs, shared->structs);',
    'return shared->same == shared->calls && shared->same_structs == shared->structs ? 0 : 1;',
  ];
  write(`\nint main(void)\n{\n${lines.map((line) => `\t${line}`).join('\n')}\n}\n`);
}

function openingOf({ kind }: Resource): string {
  if (kind === 'eventfd') return 'eventfd(0, 0)';
  return `open(DEV_ROOT ${quote(kind === 'container' ? '/dev/vfio/vfio' : '/dev/iommu')}, O_RDWR)`;
}
