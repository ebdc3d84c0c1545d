import type { Command } from 'commander';
import { addCommonOptions } from '../options.ts';
import type { Runner } from '../session.ts';
import { registerAuditExport } from './audit-export.ts';
import { registerAuditPasid } from './audit-pasid.ts';

/** `ioasis audit`: who held what, and evidence of it. */
export function registerAudit(program: Command, run: Runner): void {
  const audit = program
    .command('audit')
    .description('answer who held which PASID, and hand out evidence of it');
  audit.addHelpText(
    'after',
    `
Examples:
  $ ioasis audit pasid run
      the history of every PASID of a trace
  $ ioasis audit export run --from 100 --to 200 --out run.bundle
      a part of the log with its proof, which \`ioasis verify run.bundle\` checks alone`,
  );
  registerAuditPasid(audit, run);
  registerAuditExport(audit, run);
  for (const command of audit.commands) addCommonOptions(command);
}
