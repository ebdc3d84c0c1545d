import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  changesBetween,
  type GraphNode,
  graphAround,
  graphAt,
  type ObjectGraph,
  openTimeline,
  renderGraph,
  type Timeline,
} from '../../../replay/index.ts';
import { UsageError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { pointOf } from '../hardware-point.ts';
import { addModelOptions, type ModelFlags, modelChoiceOf } from '../model-options.ts';
import { addExamples, parseInteger } from '../options.ts';
import { startProgress } from '../progress.ts';
import type { Runner, Session } from '../session.ts';
import { jsonOf, printChanges, printGraph } from '../state-report.ts';
import { type Target, withTarget } from '../target.ts';

interface StateFlags extends ModelFlags {
  readonly at?: number;
  readonly marker?: string;
  readonly since?: number;
  readonly object?: string;
  readonly areas: number;
  readonly format?: 'tree' | 'json' | 'mermaid';
}

const AREAS_DEFAULT = 16;

/** `ioasis state`: what lives after a call, and who refers to whom since which call. */
export function registerState(program: Command, run: Runner): void {
  const command = program
    .command('state')
    .description('show the objects that live after a call, and who refers to whom since which call')
    .argument('<trace>', 'name of a trace, or a capture file; - for standard input')
    .option('--at <seq>', 'after this call, by its number; the last one by default', parseInteger)
    .option('--marker <text>', 'at the marker note with this text (`dump` before it may be left out)')
    .option('--since <seq>', 'only what changed after this call', parseInteger)
    .option('--object <id>', 'only this object and what it hangs together with: ID, CONTEXT:ID or a label')
    .option('--areas <count>', 'areas to list of each address space, or `all`', parseAreas, AREAS_DEFAULT)
    .addOption(new Option('--format <format>', 'tree, json or mermaid').choices(['tree', 'json', 'mermaid']));
  addModelOptions(command);
  addExamples(command, [
    ['ioasis state run.jsonl.gz --at 57', 'every object that lives after call 57, as trees'],
    ['ioasis state run --at 57 --object 3', 'object 3 and whatever it hangs together with'],
    ['ioasis state run --since 40 --at 57', 'what calls 41 to 57 changed'],
    ['ioasis state run --format mermaid', 'the objects at the end of the trace as a Mermaid flowchart'],
  ]);
  command.action((name: string, flags: StateFlags) =>
    run(command, (session) => withTarget(session, name, (target) => show(session, target, flags))),
  );
}

function parseAreas(text: string): number {
  if (text === 'all') return Number.POSITIVE_INFINITY;
  const count = parseInteger(text);
  if (count < 0) throw new InvalidArgumentError('must be a whole number, or `all`.');
  return count;
}

function show(session: Session, target: Target, flags: StateFlags): ExitCode {
  const { store, trace, label } = target;
  const seq = pointOf(target, flags, false);
  const progress = startProgress(session, 'building the timeline', 'calls');
  let timeline: Timeline;
  try {
    const onProgress = (calls: number): void => progress.update(calls, trace.callCount);
    timeline = openTimeline(store, trace, { ...modelChoiceOf(flags), onProgress });
  } finally {
    progress.stop();
  }
  const format = session.json ? 'json' : (flags.format ?? 'tree');
  if (flags.since !== undefined) return showChanges(session, target, timeline, flags, seq, format);
  const graph = narrow(graphAt(timeline, seq, { mostAreas: flags.areas }), flags.object, label);
  if (format === 'json') session.print(jsonOf(graph));
  else if (format === 'mermaid') session.print(renderGraph(graph).trimEnd());
  else printGraph(session, graph);
  return EXIT.clean;
}

function showChanges(
  session: Session,
  target: Target,
  timeline: Timeline,
  flags: StateFlags,
  seq: number | null,
  format: string,
): ExitCode {
  const since = pointOf(target, { at: flags.since! }, true)!;
  if (format === 'mermaid') throw new UsageError('--since shows changes: --format tree or json');
  const last = seq ?? target.trace.lastSeq ?? since;
  if (since > last) throw new UsageError(`--since ${since} comes after the call to look at, ${last}`);
  const options = { mostAreas: Number.POSITIVE_INFINITY };
  const [before, after] = [graphAt(timeline, since, options), graphAt(timeline, last, options)];
  const changes = changesBetween(before, after);
  if (format === 'json') session.print(jsonOf(changes));
  else printChanges(session, changes, after, before);
  return EXIT.clean;
}

/** Only what hangs together with one object. */
function narrow(graph: ObjectGraph, name: string | undefined, label: string): ObjectGraph {
  if (name === undefined) return graph;
  const found = graph.nodes.filter((node) => isNamed(node, name));
  if (found.length === 0) throw new UsageError(`${label}: no object ${name} at call ${graph.seq}`);
  return graphAround(graph, new Set(found.map(({ key }) => key)));
}

function isNamed({ kind, context, id, key, label }: GraphNode, name: string): boolean {
  const isObject = context !== 0 && kind !== 'context';
  if (isObject && (name === String(id) || name === `${context}:${id}`)) return true;
  return name === key || name === label;
}
