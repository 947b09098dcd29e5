import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { insertReport } from '../harness/document.ts'
import type { SurgeResult } from '../surge/result.ts'
import { compactJson } from './compact-json.ts'
import { surgeImage } from './image.ts'
import { surgeMarkdown } from './markdown.ts'
import type { Markup } from './markup.ts'
import { reportPage } from './page.ts'
import { parseScale, parseScenario, readSurge } from './read.ts'
import { scaleSection } from './scale-section.ts'
import { scenarioSection } from './scenario-sections.ts'

/** Writes the page beside a result, and, when asked, what the README shows. */

const results = fileURLToPath(new URL('../results/', import.meta.url))

/** The figures that the README shows, kept with the sources. */
export const publishedPath = fileURLToPath(new URL('surge.json', import.meta.url))

export const imagePath = fileURLToPath(new URL('../../../docs/images/surge.svg', import.meta.url))

export const documents = ['../../../README.md', '../../../docs/benchmarks.md'].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
)

/** @returns the path of the page */
export function writePage(path: string, tell: (line: string) => void): string {
  const surge = readSurge(path)
  const others = newestOthers(dirname(path), tell)
  const scale = newestScale(dirname(path), tell)
  const page = path.replace(/(\.json)?$/, '.html')
  const parts = { surge, others, scale, fileName: basename(path), picture: surgeImage(surge) }
  writeFileSync(page, reportPage(parts))
  return page
}

/** Puts a run where the README and docs/benchmarks.md show it. */
export function publish(path: string): void {
  const surge = readSurge(path)
  if (surge.options.fault !== null) throw new Error('A run that was broken on purpose is no proof.')
  if (surge.options.isQuick) throw new Error('A quick run is not to be published.')
  writeFileSync(publishedPath, publishedJson(surge))
  mkdirSync(dirname(imagePath), { recursive: true })
  writeFileSync(imagePath, surgeImage(surge))
  for (const document of documents) {
    const text = readFileSync(document, 'utf8')
    writeFileSync(document, insertReport(text, 'surge', surgeMarkdown(surge)))
  }
}

/** All that page, picture and table show, and not what would make the file ten times as long. */
export function publishedJson(surge: SurgeResult): string {
  const systems = Object.entries(surge.systems).map(([name, system]) => [
    name,
    {
      ...system,
      failures: [],
      series: system.series.map((moment) => ({ ...moment, byReplica: {} })),
    },
  ])
  return `${compactJson({ ...surge, systems: Object.fromEntries(systems) })}\n`
}

/** The newest surge there is. */
export function newestSurge(): string {
  const [newest] = filesOf(results, /^surge-\d{4}-.*Z\.json$/)
  if (newest === undefined) throw new Error('There is no surge in bench/results: run one first.')
  return join(results, newest)
}

/** Of each other scenario the newest result; one that can't be shown is told of, and left out. */
function newestOthers(folder: string, tell: (line: string) => void): Markup[] {
  const found = new Map<string, Markup>()
  const pattern = /^(?!(?:surge|scale)-\d{4}-).*-\d{4}-\d\d-\d\dT[\d-]+Z\.json$/
  for (const name of filesOf(folder, pattern)) {
    showOrTell(name, tell, () => {
      const result = parseScenario(readFileSync(join(folder, name), 'utf8'), name)
      if (!found.has(result.scenario)) found.set(result.scenario, scenarioSection(result))
    })
  }
  return [...found].sort(([a], [b]) => a.localeCompare(b)).map(([, section]) => section)
}

function newestScale(folder: string, tell: (line: string) => void): Markup | null {
  for (const name of filesOf(folder, /^scale-\d{4}-.*Z\.json$/)) {
    const show = () => scaleSection(parseScale(readFileSync(join(folder, name), 'utf8'), name))
    const shown = showOrTell(name, tell, show)
    if (shown !== null) return shown
  }
  return null
}

/** A result of another revision may have another form: that is no reason to show nothing. */
function showOrTell<T>(name: string, tell: (line: string) => void, show: () => T): T | null {
  try {
    return show()
  } catch (error) {
    tell(`${name} is left out: ${error instanceof Error ? error.message : error}`)
    return null
  }
}

/** The newest first: names end in their instant. */
function filesOf(folder: string, pattern: RegExp): string[] {
  const instant = (name: string) => name.slice(-'2026-01-01T00-00-00-000Z.json'.length)
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => pattern.test(name))
    .sort((a, b) => instant(b).localeCompare(instant(a)))
}
