import { firstArea, type IovaSpace, NO_AREA, nextArea, spaceOf } from '../../model/index.ts';
import { CMD } from '../../uapi/index.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { areaSpan, label, text } from '../lint/text.ts';

export const mapNeverUnmapped: Rule = {
  id: 'map-never-unmapped',
  severity: 'note',
  title: 'A range was mapped and never unmapped',
  doc: {
    detects: text(
      'An area that its program never unmapped: it went with its IOAS, with the last descriptor of',
      'the context, or with its process, or it is still mapped when the trace ends. One finding for',
      'each map.',
    ),
    why: text(
      'Its pages stay pinned and charged, and every device on the IOAS can write to them, until',
      'something else takes them away. In a program that runs long this is how memory leaks, and how',
      'a device writes to memory that has a new owner.',
    ),
    fix: 'Unmap each range once it is no longer for devices, at the latest before its memory is given back.',
    falseAlarms: text(
      'The kernel unmaps what is left, so a program may leave it to that: QEMU neither unmaps nor',
      'closes when it quits, and the selftests close with areas mapped. That is why it is a note.',
    ),
    source: 'io_pagetable.c iopt_table_destroy, iopt_unmap_all',
  },
  start(world, report) {
    const { kernel, call } = world;
    return {
      effects: {
        rangeUnmapped(_, ioas, space, slot) {
          if (isUnmap(call.cmd) && !call.isOver) return;
          const how = call.isOver ? 'the exit of its process' : `call ${call.seq}`;
          tellLeft(world, report, ioas, space, slot, `until ${how} took it away`, call.seq);
        },
      },
      finish() {
        for (const context of Object.values(kernel.state.contexts)) {
          for (const object of Object.values(context.objects)) {
            if (object.type === 'ioas') tellAll(world, report, object.id, spaceOf(kernel, object));
          }
        }
        for (const { iommu } of Object.values(kernel.state.vfio.containers)) {
          const space = iommu === null ? undefined : kernel.spaces.get(iommu.space);
          if (space !== undefined) tellAll(world, report, 0, space);
        }
      },
    };
  },
};

/** Commands that the program unmaps with; a split of a type1 container is one too. */
function isUnmap(cmd: number): boolean {
  return cmd === CMD.IOMMU_IOAS_UNMAP || cmd === CMD.VFIO_IOMMU_UNMAP_DMA;
}

function tellAll(world: LintWorld, report: Report, ioas: number, space: IovaSpace): void {
  const { areas } = space;
  for (let slot = firstArea(areas); slot !== NO_AREA; slot = nextArea(areas, slot))
    tellLeft(world, report, ioas, space, slot, 'and the trace ends', null);
}

function tellLeft(
  { areas }: LintWorld,
  report: Report,
  ioas: number,
  space: IovaSpace,
  slot: number,
  until: string,
  end: number | null,
): void {
  const seq = areas.of(space)?.seq[slot];
  // A map that was refused half way takes back itself what it has mapped.
  if (seq === undefined || seq === end) return;
  const range = areaSpan(space, slot);
  const where = ioas === 0 ? 'the container' : label('ioas', ioas);
  report({
    seq,
    message: `${range} of ${where} was mapped by call ${seq} and never unmapped, ${until}`,
    chain: [
      { seq, role: 'mapped', says: `maps ${range}` },
      ...(end === null ? [] : [{ seq: end, role: 'taken away', says: `takes ${where} away` }]),
    ],
  });
}
