import assert from 'node:assert/strict'
import t from 'tap'
import { parse } from 'yaml'
import { readProjectFile } from '../../support/project.ts'
import fc from '../../support/properties.ts'
import {
  characterOf,
  isNormal,
  normalTargets,
  oddTargets,
  plainTargets,
  trickyTargets,
} from './paths.ts'
import type { Place } from './services.ts'

/** A32: the rule of docs/forward-auth.md, and examples for proxies that no test can run. */

const read = (path: string) => readProjectFile(`examples/${path}`)
const [, block = ''] = /```regex\n(.*?)```/s.exec(readProjectFile('docs/forward-auth.md')) ?? []
const [normal = '', detour = '', ...others] = block.trim().split('\n')

/** Tries what others have found and what comes up, in the form that all proxies understand. */
function tryTargets(check: (target: string) => void): void {
  const known = [...trickyTargets, ...Object.values(normalTargets).flat()]
  for (const target of known.filter((one) => one.startsWith('/'))) check(target)
  const targets = fc.oneof(oddTargets, plainTargets).filter((target) => target.startsWith('/'))
  fc.assert(fc.property(targets, check), { numRuns: 1000 })
}

/** The expected decision about a request target. */
function decisionFor(target: string): Place | 'refused' {
  if (!isNormal(target)) return 'refused'
  if (target.startsWith('/public/')) return 'public'
  return /^\/reports([^\w-]|$)/i.test(target) ? 'reports' : 'guarded'
}

/** A regular expression of RE2 that has to match all of a text, or some of it. */
function re2(pattern: string, part: 'all' | 'some'): RegExp {
  const [, ignoringCase, rest = ''] = /^(\(\?i\))?(.*)$/s.exec(pattern) ?? []
  return new RegExp(part === 'all' ? `^(?:${rest})$` : rest, ignoringCase ? 'i' : '')
}

t.test('A32: the expressions in the docs match normal paths', async (t) => {
  t.same(others, [])
  const [isPlain, isDetour] = [new RegExp(normal), new RegExp(detour)]
  tryTargets((target) => {
    assert.equal(isPlain.test(target) && !isDetour.test(target), isNormal(target), target)
  })
  for (let code = 0; code < 256; code += 1) {
    const character = String.fromCharCode(code)
    const hex = code.toString(16).padStart(2, '0')
    for (const target of [character, `%${hex}`, `%${hex.toUpperCase()}`]) {
      assert.equal(
        isPlain.test(`/${target}`) && !isDetour.test(`/${target}`),
        isNormal(`/${target}`),
      )
    }
  }
})

t.test('A32: the examples have these expressions', async (t) => {
  for (const file of [
    ...['compose/nginx.conf', 'forward-auth/nginx/nginx.conf', 'forward-auth/caddy/Caddyfile'],
    ...['forward-auth/haproxy/haproxy.cfg', 'forward-auth/apache/gatepass.lua'],
  ]) {
    t.ok(read(file).includes(normal), file)
    t.ok(read(file).includes(detour), file)
  }
})

interface EnvoyRoute {
  readonly match: {
    readonly prefix?: string
    readonly safe_regex?: { readonly regex: string }
    readonly headers?: readonly {
      readonly name: string
      readonly invert_match?: boolean
      readonly string_match: { readonly safe_regex: { readonly regex: string } }
    }[]
  }
  readonly direct_response?: { readonly status: number }
  readonly typed_per_filter_config?: Readonly<Record<string, object>>
}

t.test(
  'A32: the routes of Envoy refuse paths that are not normal, and require scopes',
  async (t) => {
    const [{ filter_chains }] = parse(read('forward-auth/envoy/envoy.yaml')).static_resources
      .listeners
    const manager = filter_chains[0].filters[0].typed_config
    const routes: readonly EnvoyRoute[] = manager.route_config.virtual_hosts[0].routes
    const headers = routes.flatMap(({ match }) => match.headers ?? [])
    t.same(
      headers.map(({ name }) => name),
      [':path', ':path'],
    )
    const fits = ({ match }: EnvoyRoute, target: string) => {
      const [path = ''] = target.split('?')
      return (
        path.startsWith(match.prefix ?? '/') &&
        (match.safe_regex === undefined || re2(match.safe_regex.regex, 'all').test(path)) &&
        (match.headers ?? []).every(({ invert_match = false, string_match }) => {
          return re2(string_match.safe_regex.regex, 'all').test(target) !== invert_match
        })
      )
    }
    const places: Readonly<Record<string, Place>> = {
      'envoy.filters.http.ext_authz': 'public',
      'envoy.filters.http.rbac': 'reports',
      '': 'guarded',
    }
    tryTargets((target) => {
      const route = routes.find((one) => fits(one, target))
      const filters = Object.keys(route?.typed_per_filter_config ?? {}).join()
      const decision = route?.direct_response?.status === 400 ? 'refused' : places[filters]
      assert.equal(decision, decisionFor(target), target)
    })
  },
)

const unreserved = /[\w.~-]/
const reserved = /[:/?#[\]@!$&'()*+,;=%]/

/**
 * The path that Traefik compares and forwards, by its documentation of request paths; nothing where it
 * refuses. Go, in which it is written, encodes what RFC 3986 does not have in a path.
 */
function normalizedByTraefik(target: string): string | undefined {
  const [raw = ''] = target.split('?')
  const path = raw.replaceAll(/["#<>\\^`{|}\u0080-\u00ff]/g, (one) => {
    return `%${one.charCodeAt(0).toString(16)}`
  })
  if (/%(2f|5c|00|3b|25|3f|23|(?![0-9a-f]{2}))/i.test(path)) return undefined
  const normal = path.replaceAll(/%../g, (code) => {
    return unreserved.test(characterOf(code)) ? characterOf(code) : code.toUpperCase()
  })
  return new URL(`http://service${normal.replaceAll(/\/+/g, '/')}`).pathname
}

interface TraefikRouter {
  readonly rule: string
  readonly entryPoints: readonly string[]
  readonly priority: number
}

t.test(
  'A32: the routers of Traefik refuse paths that are not normal, and require scopes',
  async (t) => {
    const { http } = parse(read('forward-auth/traefik/traefik.yml')).entryPoints.web
    t.equal(http.sanitizePath, true)
    t.equal(Object.keys(http.encodedCharacters).length, 7)
    t.notOk(Object.values(http.encodedCharacters).includes(true))
    const dynamic = parse(read('forward-auth/traefik/dynamic.yml'), { merge: true }).http
    t.equal(dynamic.middlewares.refuse.ipAllowList.rejectStatusCode, 400)

    const routers = Object.entries<TraefikRouter>(dynamic.routers)
      .filter(([, { entryPoints }]) => entryPoints.includes('web'))
      .sort(([, a], [, b]) => b.priority - a.priority)
    const fits = ({ rule }: TraefikRouter, path: string) =>
      rule.split(' || ').some((matcher) => {
        const [, not, kind, value = ''] =
          /^(!?)(PathRegexp|PathPrefix)\(`(.*)`\)$/.exec(matcher) ?? []
        const isPrefix = kind === 'PathPrefix'
        const doesFit = isPrefix ? path.startsWith(value) : re2(value, 'some').test(path)
        return doesFit !== (not === '!')
      })
    const names: Readonly<Record<string, string>> = { odd: 'refused', application: 'guarded' }
    tryTargets((target) => {
      const forwarded = normalizedByTraefik(target)
      if (isNormal(target))
        assert.equal(
          decodeURIComponent(forwarded ?? ''),
          decodeURIComponent(target.split('?')[0] ?? ''),
        )
      if (forwarded === undefined) return
      const compared = forwarded.replaceAll(/%../g, (code) => {
        return reserved.test(characterOf(code)) ? code : characterOf(code)
      })
      const [name = ''] = routers.find(([, router]) => fits(router, compared)) ?? []
      assert.equal(names[name] ?? name, decisionFor(forwarded), target)
    })
  },
)
