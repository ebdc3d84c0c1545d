import { replayTrace } from '../../replay/index.ts';
import type { AuditBuild, Store } from '../../store/index.ts';
import { chooseProfile, type Profile, snapshotVersion } from '../model/index.ts';
import { createPasidHistory } from './history.ts';
import { watchIommufd } from './iommufd-events.ts';
import { watchProposal } from './proposal-events.ts';

/** Raised when the same log gives other rows than before. */
const HISTORY_VERSION = 3;

export interface BuildOptions {
  /** Kernel in place of the recorded one. */
  readonly kernel?: string | null;
  /** Build again what is there. */
  readonly force?: boolean;
  readonly onProgress?: (calls: number) => void;
}

/**
 * Sees to it that the store holds the PASID history of a trace: by one replay from the first call, unless the
 * history that is there comes from the same calls, kernel profile and version of this fold.
 */
export function buildPasidHistory(store: Store, traceId: number, options: BuildOptions = {}): AuditBuild {
  const trace = store.findTrace(traceId);
  if (trace === null) throw new Error(`no trace ${traceId}`);
  const { profile } = chooseProfile(options.kernel ?? trace.header.kernel, trace.header.pageSizeBytes);
  const version = versionOf(profile, trace.callCount);
  const found = store.findAuditBuild(traceId);
  if (found?.version === version && options.force !== true) return found;
  let build: AuditBuild = { version, diverged: 0 };
  store.rebuildAudit(traceId, (rows) => {
    const history = createPasidHistory(rows);
    const { diverged } = replayTrace(store, traceId, {
      kernel: options.kernel ?? null,
      maxDivergences: 0,
      watch: (kernel) => (kernel.isProposal ? watchProposal(kernel, history) : watchIommufd(kernel, history)),
      ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
    });
    history.finish();
    build = { version, diverged };
    return build;
  });
  return build;
}

function versionOf(profile: Profile, callCount: number): string {
  return `${HISTORY_VERSION} ${snapshotVersion(profile)} ${callCount}`;
}
