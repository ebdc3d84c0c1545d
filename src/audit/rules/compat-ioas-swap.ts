import { callName } from '../../../replay/index.ts';
import { spaceOf } from '../../model/index.ts';
import { CMD, IOMMU_VFIO_IOAS, offsetsOf } from '../../uapi/index.ts';
import { contextOf, type LintCall } from '../lint/lint-call.ts';
import { diedLinks } from '../lint/object-lives.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { count, label, text } from '../lint/text.ts';

const OP = offsetsOf(IOMMU_VFIO_IOAS).op;
/** IOMMU_VFIO_IOAS_SET and _CLEAR; _GET changes nothing. */
const GET = 0;

export const compatIoasSwap: Rule = {
  id: 'compat-ioas-swap',
  severity: 'warning',
  title: 'The IOAS of the VFIO calls was swapped or destroyed while in use',
  doc: {
    detects: text(
      'IOMMU_VFIO_IOAS SET to another IOAS, or CLEAR, while the one before still has areas; and a',
      'VFIO compatibility call that finds none (ENODEV) after there was one.',
    ),
    why: text(
      'The pointer is weak: VFIO_IOMMU_UNMAP_DMA from now on looks in the new IOAS, does not find',
      'what VFIO_IOMMU_MAP_DMA put into the old one, and the old areas stay reachable for the devices',
      'there. Destroying the IOAS clears the pointer silently.',
    ),
    fix: text(
      'Choose the compatibility IOAS once, before the first VFIO call; unmap what it holds before',
      'another one is set, and destroy it last.',
    ),
    falseAlarms: text(
      'A program that uses VFIO calls on one IOAS and its own calls on another, and knows which is',
      'which.',
    ),
    source: 'vfio_compat.c iommufd_vfio_ioas, get_compat_ioas; main.c iommufd_object_remove',
  },
  start(world, report) {
    /** Compatibility IOAS of a context, and the call that set it. */
    const known = new Map<number, { readonly id: number; readonly seq: number }>();
    let before = 0;
    return {
      before: {
        [CMD.IOMMU_VFIO_IOAS]: (call) => {
          before = world.kernel.state.contexts[contextOf(world.kernel, call)]?.vfioIoas ?? 0;
        },
      },
      after: {
        [CMD.IOMMU_VFIO_IOAS]: (call) => {
          if (call.errno !== 0 || (call.arg[OP] ?? 0) === GET) return;
          const context = contextOf(world.kernel, call);
          tellSwap(world, report, context, before, known.get(context)?.seq ?? null);
          const now = world.kernel.state.contexts[context]?.vfioIoas ?? 0;
          if (now !== 0) known.set(context, { id: now, seq: call.seq });
        },
      },
      refused: { 'no-compat-ioas': (call) => tellNone(world, report, call, known) },
    };
  },
};

function tellSwap(
  world: LintWorld,
  report: Report,
  context: number,
  old: number,
  setSeq: number | null,
): void {
  const { kernel, areas } = world;
  const state = kernel.state.contexts[context];
  const ioas = state?.objects[old];
  if (state === undefined || ioas?.type !== 'ioas' || state.vfioIoas === old) return;
  const space = spaceOf(kernel, ioas);
  if (space.areas.count === 0) return;
  const now = state.vfioIoas === 0 ? 'none' : label('ioas', state.vfioIoas);
  const left = count(space.areas.count, 'area');
  const first = areas.of(space)?.seq[0];
  report({
    message: text(
      `the VFIO calls are moved from ${label('ioas', old)} to ${now}, and ${left} of the old one stay`,
      'mapped',
    ),
    chain: [
      ...(setSeq === null ? [] : [{ seq: setSeq, role: 'set', says: `makes ${label('ioas', old)} theirs` }]),
      ...(first === undefined
        ? []
        : [{ seq: first, role: 'mapped', says: `maps into ${label('ioas', old)}` }]),
      hereLink(world, 'swapped', `makes it ${now}`),
    ],
  });
}

function tellNone(
  world: LintWorld,
  report: Report,
  call: LintCall,
  known: ReadonlyMap<number, { readonly id: number; readonly seq: number }>,
): void {
  const { kernel, lives } = world;
  const context = contextOf(kernel, call);
  const was = known.get(context);
  if (was === undefined) return;
  const life = lives.find(context, was.id);
  const name = callName(call.record);
  report({
    message: text(
      `${name} finds no IOAS: ${label('ioas', was.id)}, which call ${was.seq} set, is no longer`,
      'theirs',
    ),
    chain: [
      { seq: was.seq, role: 'set', says: `makes ${label('ioas', was.id)} that of the VFIO calls` },
      ...(life === undefined ? [] : diedLinks(life)),
      hereLink(world, 'used after', `${name} is refused`),
    ],
  });
}
