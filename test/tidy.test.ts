import { describe, expect, test } from 'vitest';
import { findCycle, partOf, readSource, readSources, type SourceFile } from './support/source.ts';

/** The rules of CONTRIBUTING.md about the shape of the source, as a test. */

const SOURCES = readSources();
const PRODUCT = SOURCES.filter(({ path }) => !path.startsWith('test/'));
const TESTS = SOURCES.filter(({ path }) => path.startsWith('test/'));

/** What each part may import, besides its own files. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  'src/uapi': [],
  'src/trace': ['src/uapi'],
  machines: [],
  store: ['src/uapi', 'src/trace'],
  'src/model': ['src/uapi', 'src/trace', 'machines'],
  replay: ['src/uapi', 'src/trace', 'src/model', 'store'],
  'src/audit': ['src/uapi', 'src/trace', 'src/model', 'store', 'replay'],
  'src/cli': ['src/uapi', 'src/trace', 'src/model', 'machines', 'store', 'replay', 'src/audit'],
  bench: ['src/uapi', 'src/trace', 'src/model', 'machines', 'store', 'replay', 'src/audit'],
  conformance: ['src/uapi', 'src/trace', 'store', 'replay'],
};

/** Tables of the kernel's structs, which are as long as the kernel makes them. */
const LONG_TABLES = new Set(['src/uapi/iommufd.ts', 'src/uapi/vfio.ts', 'src/uapi/records.ts']);
/** Run for every map and unmap: BigInt would be slow there. */
const HOT = new Set(
  ['area-table', 'mapping', 'ioas-map', 'iova-alloc'].map((name) => `src/model/${name}.ts`),
);

/** Outside these nothing depends on time, chance, environment or locale. */
const isImpure = ({ path }: SourceFile): boolean => /^(src\/cli|bench)\//.test(path);

/** `path:line text` of each line of code that matches. */
function linesWith(files: readonly SourceFile[], pattern: RegExp): string[] {
  return files.flatMap(({ path, code }) =>
    code
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1} ${line.trim()}`] : [])),
  );
}

describe('imports', () => {
  test('are found, so that the rules below look at something', () => {
    const all = PRODUCT.flatMap(({ imports }) => imports);
    expect(all.filter(({ isOurs }) => isOurs).length).toBeGreaterThan(300);
    const known = new Set(SOURCES.map(({ path }) => path));
    expect(all.filter(({ target, isOurs }) => isOurs && !known.has(target))).toEqual([]);
    const forms =
      "import a from 'a';\nimport type { B,\n C } from './b.ts';\nexport * from '../c.ts';\nimport 'd';\n";
    const found = readSource('src/x/y.ts', `${forms}// import e from 'e';\nawait import('f');`).imports;
    expect(found.map(({ target }) => target)).toEqual(['a', 'src/x/b.ts', 'src/c.ts', 'd', 'f']);
  });

  test('go along the arrows between folders', () => {
    const against = PRODUCT.flatMap(({ path, imports }) =>
      imports
        .filter(({ isOurs, target }) => isOurs && partOf(target) !== partOf(path))
        .filter(({ target }) => !ARROWS[partOf(path)]!.includes(partOf(target)))
        .map(({ target }) => `${path} imports ${target}`),
    );
    expect(against).toEqual([]);
  });

  test('of another folder name its index.ts', () => {
    const around = SOURCES.flatMap(({ path, imports }) =>
      imports
        .filter(({ isOurs, target }) => isOurs && partOf(target) !== partOf(path))
        .filter(({ target }) => target !== `${partOf(target)}/index.ts`)
        .map(({ target }) => `${path} imports ${target}`),
    );
    expect(around.filter((line) => !INSIDE_TESTS.some((allowed) => allowed.test(line)))).toEqual([]);
  });

  test('make no cycle of files', () => {
    const graph = new Map(
      PRODUCT.map(({ path, imports }) => [
        path,
        imports.filter(({ isOurs }) => isOurs).map(({ target }) => target),
      ]),
    );
    expect(findCycle(graph)).toBeNull();
    expect(
      findCycle(
        new Map([
          ['a', ['b']],
          ['b', ['c']],
          ['c', ['b']],
        ]),
      ),
    ).toEqual(['b', 'c', 'b']);
  });

  test('of immer and xstate stay where a draft or a machine is made', () => {
    const users = PRODUCT.filter(({ imports }) =>
      imports.some(({ target }) => /^(immer|xstate)(\/|$)/.test(target)),
    );
    const others = users.filter(({ path }) => !/^(machines|bench)\/|^src\/model\/patches\.ts$/.test(path));
    expect(others.map(({ path }) => path)).toEqual([]);
    expect(users.map(({ path }) => path)).toContain('src/model/patches.ts');
  });
});

/** A test may look inside what it tests: its own folder's subject, where the index.ts does not show it. */
const INSIDE_TESTS = [
  /^test\/(model|support)\/\S+ imports src\/model\//,
  /^test\/machines\/\S+ imports machines\//,
  /^test\/uapi\/\S+ imports src\/uapi\//,
  /^test\/trace\/\S+ imports src\/trace\//,
  /^test\/store\/\S+ imports store\//,
  /^test\/cli\/\S+ imports src\/cli\//,
  /^test\/audit\/\S+ imports src\/audit\//,
  /^test\/support\/lint\.ts imports replay\/model-choice\.ts/,
  /^test\/replay\/hardware\/\S+ imports replay\/hardware\//,
  /^test\/replay\/timeline\/\S+ imports replay\/timeline\//,
];

describe('a file', () => {
  test('has at most 300 lines, unless it is a table', () => {
    const long = SOURCES.filter(({ lines }) => lines.length - 1 > 300).map(
      ({ path, lines }) => `${path}: ${lines.length - 1}`,
    );
    expect(long.filter((line) => !LONG_TABLES.has(line.split(':')[0]!))).toEqual([]);
  });

  test('has no line above 110 columns, unless it is one text', () => {
    const isText = (line: string): boolean => /^\s*(const \w+ = )?(['`]).*\2[,;]?$/.test(line);
    const wide = SOURCES.flatMap(({ path, lines }) =>
      lines.flatMap((line, index) =>
        [...line].length > 110 && !isText(line) ? [`${path}:${index + 1}`] : [],
      ),
    );
    expect(wide).toEqual([]);
  });
});

describe('code below the command line', () => {
  test('does not look at clock, chance, environment or locale', () => {
    const banned = new RegExp(
      [
        'Date\\.now\\b',
        'new Date\\b',
        'Math\\.random\\b',
        'process\\.(env|hrtime)\\b',
        'performance\\.now\\b',
      ]
        .concat('toLocale', 'Intl\\b')
        .map((name) => `\\b${name}`)
        .join('|'),
    );
    expect(
      linesWith(
        PRODUCT.filter((file) => !isImpure(file)),
        banned,
      ),
    ).toEqual([]);
    expect(linesWith(PRODUCT.filter(isImpure), banned)).not.toEqual([]);
  });

  test('prints nothing', () => {
    expect(
      linesWith(
        PRODUCT.filter((file) => !isImpure(file) && file.path !== 'conformance/main.ts'),
        /\bconsole\.|\bstd(out|err)\.write\b/,
      ),
    ).toEqual([]);
  });

  test('makes no BigInt where every map and unmap passes', () => {
    const hot = PRODUCT.filter(({ path }) => HOT.has(path));
    expect(hot).toHaveLength(HOT.size);
    expect(linesWith(hot, /\bBigInt\b|\b\d[\da-fA-Fx_]*n\b/)).toEqual([]);
  });
});

describe('TypeScript', () => {
  test('is not switched off', () => {
    const banned = /\bas any\b|:\s*any\b|<any>|\bany\[\]/;
    // This file names what it bans.
    const others = SOURCES.filter(({ path }) => path !== 'test/tidy.test.ts');
    expect(linesWith(others, banned)).toEqual([]);
    const switches = SOURCES.flatMap(({ path, lines }) =>
      lines
        .filter((line) => /^\s*(\/\/|\/\*)\s*@ts-(ignore|nocheck)/.test(line))
        .map((line) => `${path} ${line}`),
    );
    expect(switches).toEqual([]);
  });

  test('is used without default exports, enums and classes other than errors', () => {
    expect(linesWith(SOURCES, /^\s*export default\b/)).toEqual([]);
    expect(linesWith(SOURCES, /^\s*(export\s+)?(declare\s+)?(const\s+)?enum\b/)).toEqual([]);
    const classes = linesWith(SOURCES, /^\s*(export\s+)?(abstract\s+)?class\b/);
    expect(classes.filter((line) => !/class \w+Error extends \w*Error\b/.test(line))).toEqual([]);
    expect(classes).not.toEqual([]);
  });
});

describe('tests', () => {
  test('are all run', () => {
    const files = TESTS.filter(({ path }) => path.endsWith('.test.ts'));
    expect(files.length).toBeGreaterThan(20);
    expect(linesWith(files, /\b(it|test|describe)(\.\w+)*\.(skip|only|todo|fails)\b/)).toEqual([]);
  });
});
