import type { TraceInfo } from '../../store/index.ts';
import type { TraceSummary } from '../trace/index.ts';
import type { Session } from './session.ts';

/** Tells what an import read, what is missing of it, and what was left out, line by line of the source. */
export function reportImport(
  session: Session,
  source: string,
  trace: TraceInfo,
  summary: TraceSummary,
): void {
  if (session.json) session.print(JSON.stringify(importJson(source, trace, summary)));
  else if (!session.quiet) for (const line of importText(trace, summary)) session.print(line);
}

function importJson(source: string, trace: TraceInfo, summary: TraceSummary): Record<string, unknown> {
  const { name, callCount, firstSeq, lastSeq, skipped, chainHead, header } = trace;
  const { format, partial, doubtful, implied, lost } = summary;
  const told = { name, file: source, calls: callCount, firstSeq, lastSeq, kernel: header.kernel };
  const foreign = format === 'capture' ? {} : { format, partial, doubtful, implied, lost };
  return { ...told, skipped, ...foreign, chainHead };
}

function importText({ name, callCount, skipped }: TraceInfo, summary: TraceSummary): string[] {
  const lines = [`${name}: ${callCount} calls imported`];
  if (summary.format === 'capture') {
    for (const [op, count] of Object.entries(skipped))
      lines.push(`  ${count} skipped with the unknown op ${JSON.stringify(op)}`);
    return lines;
  }
  const { format, partial, doubtful, implied, lost } = summary;
  lines[0] += ` from ${format}`;
  if (partial > 0) lines.push(`  ${partial} recorded in part; show says what is missing of each`);
  if (doubtful > 0) lines.push(`  ${doubtful} with an answer that may be that of another call`);
  if (implied > 0) lines.push(`  ${implied} not in the log, told by what is`);
  if (lost > 0) lines.push(`  ${lost} events lost by the recorder`);
  const left = Object.entries(skipped);
  if (left.length === 0) return lines;
  const total = left.reduce((sum, [, count]) => sum + count, 0);
  lines.push(`  ${total} lines that are no call:`);
  const width = Math.max(...left.map(([, count]) => String(count).length));
  for (const [what, count] of left) lines.push(`    ${String(count).padStart(width)} ${what}`);
  return lines;
}
