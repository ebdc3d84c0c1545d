import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { openStore, type TraceInfo } from '../../../store/index.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import { addExamples } from '../options.ts';
import type { Runner, Session } from '../session.ts';
import { renderTable } from '../table.ts';

/** `ioasis list`: the traces of the store. */
export function registerList(program: Command, run: Runner): void {
  const command = program.command('list').description('list the traces of the store');
  addExamples(command, [
    ['ioasis list', 'the traces of ./ioasis.db, oldest first'],
    ['ioasis list --store lab.db --json', 'the same of another store, as JSON'],
  ]);
  command.action(() => run(command, listTraces));
}

function listTraces(session: Session): ExitCode {
  const traces = tracesOf(session);
  if (session.json) session.print(JSON.stringify(traces.map(jsonOf)));
  else if (traces.length === 0) session.remark(`no traces in ${session.store}`);
  else session.print(tableOf(session, traces));
  return EXIT.clean;
}

/** A store that does not exist yet has no traces; looking into it does not make it. */
function tracesOf({ store: path }: Session): readonly TraceInfo[] {
  if (!existsSync(path)) return [];
  const store = openStore(path, { create: false });
  try {
    return store.listTraces();
  } finally {
    store.close();
  }
}

function jsonOf({ name, callCount, firstSeq, lastSeq, state, skipped, chainHead, header }: TraceInfo) {
  const { kernel, topology, producer } = header;
  const iommu = topology.iommu;
  return { name, calls: callCount, kernel, iommu, firstSeq, lastSeq, state, producer, skipped, chainHead };
}

function tableOf(session: Session, traces: readonly TraceInfo[]): string {
  const columns = [
    { title: 'NAME' },
    { title: 'CALLS', isNumber: true },
    { title: 'KERNEL' },
    { title: 'IOMMU' },
    { title: 'SEQ' },
    { title: 'STATE' },
  ];
  const rows = traces.map(({ name, callCount, header, firstSeq, lastSeq, state }) => [
    name,
    callCount,
    header.kernel ?? '-',
    header.topology.iommu ?? '-',
    firstSeq === null ? '-' : `${firstSeq}..${lastSeq}`,
    state === 'sealed' ? state : session.colors.yellow('incomplete'),
  ]);
  return renderTable(session, columns, rows);
}
