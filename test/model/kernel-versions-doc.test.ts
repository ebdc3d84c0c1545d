import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { commandsIn } from '../../src/model/dispatch.ts';
import { chooseProfile } from '../../src/model/index.ts';
import { FEATURES } from '../../src/model/kernel-features.ts';
import { FIXES } from '../../src/model/kernel-fixes.ts';
import {
  NEWEST_SUBLEVEL,
  presenceIn,
  RELEASES,
  type Release,
  type VersionRule,
} from '../../src/model/kernel-versions.ts';
import { tableSlotsIn, VERSION_RULES } from '../../src/model/profile.ts';
import { findIoctl } from '../../src/uapi/index.ts';

const ROOT = join(import.meta.dirname, '../..');

const HEAD = `# Kernels and what the model knows of them

\`--kernel\` and a trace's header name a kernel as \`6.8\`, \`6.12.30\` or \`linux-6.17\`. A release without a
point release means 6.12.117, 7.2.13, 7.3-rc7, and the release as it was tagged for all others. This file is
written by \`npx vitest run test/model/kernel-versions-doc.test.ts -u\`.

The trees of 6.5, 6.8, 6.11, 6.12.117, 6.14, 6.17, 7.0, 7.2.13 and 7.3-rc7 were read. What came between two of
them is dated by the texts of pull requests and patches, and by point releases: a fix is in the main line
before it is in any of them. Where nothing says it, a release stands under "unknown", and the older rule is
taken. First point releases of 6.12 and 7.3 are of the Debian changelog.

A replay warns when not all is known of its kernel. That is so for releases with something unknown; for point
releases other than 6.12.0 to 6.12.117, 7.2.13 and 7.3.1 to 7.3.4, of whose fixes nobody made a list; for
distributions' kernels such as \`6.8.0-31-generic\`; for release candidates but 7.3-rc7; and for kernels older
than 6.2 or newer than 7.3, which the nearest release stands in for.

`;

const FOOT = `
## Not told apart

- Of a wrong \`ADD_RESERVED\`, \`DIRTY\` or \`TRIGGER_IOPF\` of the selftest, older kernels check less.
- Before 6.17 and 6.12.43, an automatic IOVA may be the last byte of the address space, and rounding an
  address up may wrap.
- From 6.13 to 6.18, MAP_FILE with a bad descriptor leaks a reference: the IOAS can never be destroyed again.
- Before 6.17, a vDEVICE does not end with its device.
- The no-IOMMU mode of VFIO is not modelled, nor that VFIO_CHECK_EXTENSION answers 0 in it (7.2, 6.12.91).
- An unmap that gives up tells the bytes that are gone (6.17 and 6.12.43): none ever gives up here.
`;

const hex = (cmd: number): string => `0x${cmd.toString(16)}`;
const nameOf = (cmd: number): string => findIoctl('iommufd', cmd)!.name;
const cell = (text: string): string => text.replaceAll('|', '\\|');

/** What is new in a release: commands, struct sizes, features. */
function releaseRow(release: Release, before: Release | undefined): string {
  const old = new Map(before === undefined ? [] : commandsIn(before).map((entry) => [entry.cmd, entry]));
  const changes = commandsIn(release).flatMap(({ cmd, bytes, minBytes }) => {
    const size = minBytes === bytes ? `${bytes}` : `${bytes}, at least ${minBytes}`;
    if (old.get(cmd)?.bytes === bytes) return [];
    return [`${old.has(cmd) ? '' : '**new** '}${nameOf(cmd)} ${hex(cmd)} (${size})`];
  });
  const rules = Object.entries(VERSION_RULES).filter(([, rule]) => rule.since === release);
  const unknown = Object.entries(VERSION_RULES).filter(([, rule]) => isUnknown(rule, release));
  const names = (of: typeof rules): string => of.map(([name]) => `\`${name}\``).join(', ');
  const { lastTestOp } = chooseProfile(release, 4096).profile;
  const cells = [
    release,
    tableSlotsIn(release),
    lastTestOp,
    changes.join('; '),
    names(rules),
    names(unknown),
  ];
  return `| ${cells.join(' | ')} |\n`;
}

function isUnknown(rule: VersionRule, release: Release): boolean {
  return presenceIn(rule, release, NEWEST_SUBLEVEL[release] ?? 0) === 'unknown';
}

function ruleRow([name, { since, backports, says, source }]: readonly [string, VersionRule]): string {
  const points = Object.entries(backports ?? {}).map(([release, sublevel]) => `${release}.${sublevel}`);
  const from = [since ?? 'none up to 7.3', ...points].join(', ');
  return `| \`${name}\` | ${from} | ${cell(says)} | ${cell(source)} |\n`;
}

describe('docs/kernel-versions.md', () => {
  test('has every release, feature and fix', async () => {
    const columns = 'slots without selftest | last selftest operation | commands and struct sizes in bytes';
    const releases = RELEASES.map((release, at) => releaseRow(release, RELEASES[at - 1]));
    const ruleHead = '| name | since | meaning | where |\n|---|---|---|---|\n';
    const text = [
      `${HEAD}## Releases\n\n| release | ${columns} | new features and fixes | unknown |\n`,
      `|---|---|---|---|---|---|\n${releases.join('')}`,
      `\n## Features\n\n${ruleHead}${Object.entries(FEATURES).map(ruleRow).join('')}`,
      `\n## Fixes\n\n${ruleHead}${Object.entries(FIXES).map(ruleRow).join('')}${FOOT}`,
    ];
    await expect(text.join('')).toMatchFileSnapshot(join(ROOT, 'docs/kernel-versions.md'));
  });
});
