import { readFileSync } from 'node:fs'
import type { SurgeResult } from '../surge/result.ts'
import { isOurs, whole } from './figures.ts'
import { htmlTable, section } from './html.ts'
import { type Content, jsonForScript, Markup, tag, textOf } from './markup.ts'
import { comparisonTable, idOf, systemSection, tiles } from './surge-sections.ts'
import { chartStyle, colours } from './theme.ts'

/** One page that needs nothing but itself: style, charts and the raw figures are in it. */

const style = readFileSync(new URL('page.css', import.meta.url), 'utf8')
const script = readFileSync(new URL('page-script.js', import.meta.url), 'utf8')

export interface PageParts {
  readonly surge: SurgeResult
  /** Of the other scenarios, what there is to say of the newest result each. */
  readonly others: readonly Markup[]
  /** How costs grow, if that was measured. */
  readonly scale: Markup | null
  /** The name of the file that the surge was read from. */
  readonly fileName: string
  /** The picture of all systems. */
  readonly picture: string
}

export function reportPage(parts: PageParts): string {
  const { surge, others, scale, fileName, picture } = parts
  const systems = Object.values(surge.systems)
  const ours = systems.find(isOurs)
  const body = [
    tag('header', {}, heading(surge), contents(parts)),
    tag('main', {}, [
      warnings(surge),
      ours === undefined ? null : tiles(ours),
      section(
        'systems',
        'All systems',
        tag('div', { class: 'scroller', role: 'region', 'aria-label': 'Picture', tabindex: 0 }, [
          Markup.of(picture),
        ]),
        comparisonTable(systems),
      ),
      systems.map(systemSection),
      others.length === 0 ? null : section('others', 'Other scenarios', others),
      scale,
      section('machine', 'Machine and versions', machineTable(surge)),
      section('raw', 'Raw figures', raw(surge, fileName)),
    ]),
  ]
  return `<!doctype html>\n${textOf(page(body))}\n`
}

function page(body: Content): Markup {
  const policy =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
  return tag('html', { lang: 'en' }, [
    tag('head', {}, [
      tag('meta', { charset: 'utf-8' }),
      tag('meta', { 'http-equiv': 'Content-Security-Policy', content: policy }),
      tag('meta', { name: 'viewport', content: 'width=device-width, initial-scale=1' }),
      tag('title', {}, 'Gatepass under a surge'),
      tag('style', {}, Markup.of(`${colours(':root')}${style}${chartStyle}`)),
    ]),
    tag('body', {}, body),
  ])
}

function heading({ options, calibration, date, script }: SurgeResult): Content {
  const seconds = Math.round(script.endMs / 1000)
  return [
    tag('h1', {}, 'Gatepass under a surge'),
    tag('p', {}, [
      `${whole(options.users)} users are signed in. In ${seconds} seconds the load goes from `,
      `${whole(calibration.unit_per_second)} actions a second to ten times as many and back, while `,
      'servers are killed and added, the Redis primary fails over, keys rotate, and users are signed ',
      'out everywhere. The goal is four zeros.',
    ]),
    tag('p', { class: 'soft' }, `Run on ${date.slice(0, 16).replace('T', ' ')} UTC.`),
  ]
}

function contents({ surge, others, scale }: PageParts): Markup {
  const links = [
    ['#systems', 'All systems'],
    ...Object.values(surge.systems).map((system) => [`#${idOf(system)}`, system.title]),
    ...(others.length === 0 ? [] : [['#others', 'Other scenarios']]),
    ...(scale === null ? [] : [['#scale', 'Costs as work grows']]),
    ['#machine', 'Machine and versions'],
    ['#raw', 'Raw figures'],
  ]
  const items = links.map(([href = '', label = '']) => tag('li', {}, tag('a', { href }, label)))
  return tag('nav', { 'aria-label': 'Contents' }, tag('ul', {}, items))
}

function warnings({ options }: SurgeResult): Content {
  return [
    options.isQuick
      ? warning('A quick run: it shows that all works, and is not to be quoted.')
      : null,
    options.fault === null
      ? null
      : warning(`Broken on purpose (${options.fault}), to see that the counters notice.`),
  ]
}

function warning(said: string): Markup {
  return tag('p', { class: 'warning', role: 'note' }, said)
}

function machineTable({ machine, versions, options, calibration }: SurgeResult): Markup {
  const { gatepass, node, nginx, redis } = versions
  const pinned = machine.cores_pinned
  const rows = [
    ['processor', `${machine.cpu}, ${machine.cores} cores`],
    ['memory', `${whole(machine.memory_mib)} MiB`],
    ['kernel', machine.kernel],
    ['pinned', pinned === null ? 'no' : `servers to ${pinned.server}, load to ${pinned.load}`],
    ['load average before', machine.load_before.toFixed(1)],
    ['Gatepass', `${gatepass.version}, ${gatepass.commit ?? 'no commit'}${changes(gatepass)}`],
    ['Node', node],
    ['nginx', nginx],
    ['Redis', redis],
    ['capacity found', `${whole(calibration.capacity_per_second)} actions a second`],
    ['10× is', `${Math.round(calibration.share * 100)} % of that`],
    ...Object.entries(options).map(([name, value]) => [name, optionText(value)]),
  ]
  const head = ['what', 'value']
  return htmlTable({ caption: 'What the figures depend on', head, rows, isText: true })
}

function changes({ isModified }: { isModified: boolean }): string {
  return isModified ? ' with changes' : ''
}

function optionText(value: unknown): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** In the page, and beside it where the page lies with its file. */
function raw(surge: SurgeResult, fileName: string): Content {
  return [
    tag('p', {}, [
      'All that was recorded is in this page, and in ',
      tag('a', { href: encodeURIComponent(fileName) }, fileName),
      ' beside it.',
    ]),
    tag('button', { type: 'button', id: 'save', hidden: true }, 'Save the raw figures'),
    tag('script', { type: 'application/json', id: 'figures', 'data-name': fileName }, [
      jsonForScript(surge),
    ]),
    tag('script', {}, Markup.of(script)),
  ]
}
