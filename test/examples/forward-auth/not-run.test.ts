import t from 'tap'
import { parse } from 'yaml'
import { keepAliveTimeoutMs } from '../../../src/http/app.ts'
import { readProjectFile } from '../../support/project.ts'
import { forged } from './attacks.ts'
import { namesOf } from './client.ts'

/** Debian packages neither Traefik nor Envoy: what can be held is what their examples say. */

/** A header mutation of Envoy. */
interface Mutation {
  readonly remove?: string
  readonly remove_on_match?: { readonly key_matcher: { readonly safe_regex: { regex: string } } }
}

const identity = ['X-Auth-Subject', 'X-Auth-Session', 'X-Auth-Scope', 'X-Auth-Client']
const read = (path: string) =>
  parse(readProjectFile(`examples/forward-auth/${path}`), { merge: true })

t.test('Traefik: every route strips the headers, and every private route is guarded', async (t) => {
  const { web } = read('traefik/traefik.yml').entryPoints
  t.notOk('forwardedHeaders' in web, 'no client is believed')
  t.equal(web.http.aliasHeadersStrategy, 'delete')
  const { routers, middlewares } = read('traefik/dynamic.yml').http
  const ways = Object.entries<{ entryPoints: string[]; middlewares: string[] }>(routers)
    .filter(([, { entryPoints }]) => entryPoints.includes('web'))
    .map(([name, { middlewares }]) => [name, middlewares])
  t.same(Object.fromEntries(ways), {
    odd: ['refuse'],
    application: ['strip', 'gatepass'],
    reports: ['strip', 'gatepass-reports'],
    public: ['strip'],
  })
  const stripped = Object.keys(middlewares.strip.headers.customRequestHeaders)
  const own = ['for', 'host', 'port', 'proto', 'server'].map((name) => `x-forwarded-${name}`)
  const removed = [...stripped.map((name) => name.toLowerCase()), ...own, 'x-real-ip']
  const others = namesOf(forged).filter((name) => !removed.includes(name))
  const passed = others.filter((name) => /^[a-z0-9-]+$/.test(name))
  t.same(passed, ['x-auth-subject-', 'x-auth-roles'], 'names that only begin like ours')
  const guards = [middlewares.gatepass, middlewares['gatepass-reports']]
  for (const { forwardAuth } of guards) {
    t.match(forwardAuth, { trustForwardHeader: false, authResponseHeaders: identity })
  }
  t.match(guards[1].forwardAuth.address, /\/verify\?scope=reports:read$/)
})

t.test('Envoy: fails closed, and only public paths need no token', async (t) => {
  const [{ filter_chains }] = read('envoy/envoy.yaml').static_resources.listeners
  const manager = filter_chains[0].filters[0].typed_config
  t.match(manager, { normalize_path: true })
  const [{ typed_config: authz }] = manager.http_filters
  t.match(authz, { failure_mode_allow: false, http_service: { path_override: '/verify' } })
  const [, verifiers] = read('envoy/envoy.yaml').static_resources.clusters
  const [options] = Object.values<{ common_http_protocol_options: { idle_timeout: string } }>(
    verifiers.typed_extension_protocol_options,
  )
  const { idle_timeout } = options?.common_http_protocol_options ?? {}
  t.ok(Number.parseInt(idle_timeout ?? '', 10) * 1000 < keepAliveTimeoutMs, 'Envoy closes first')
  t.match(verifiers.health_checks, [{ http_health_check: { path: '/readyz' } }])
  const { patterns } = authz.http_service.authorization_response.allowed_upstream_headers
  const names = identity.map((name) => name.toLowerCase())
  t.same(
    patterns.map(({ exact }: { exact: string }) => exact),
    names,
  )
  const [{ typed_config: early }] = manager.early_header_mutation_extensions
  const isRemoved = (name: string) =>
    early.mutations.some(({ remove, remove_on_match }: Mutation) =>
      new RegExp(`^(${remove ?? remove_on_match?.key_matcher.safe_regex.regex})$`).test(name),
    )
  const forgedNames = namesOf(forged)
  const kept = [':path', ':authority', 'authorization', 'dpop', 'content-length', 'x-custom']
  t.same(
    [...forgedNames, ...kept].filter((name) => !isRemoved(name)),
    kept,
  )
  const unasked = manager.route_config.virtual_hosts[0].routes.filter(
    (route: { typed_per_filter_config?: Record<string, { disabled?: boolean }> }) =>
      route.typed_per_filter_config?.['envoy.filters.http.ext_authz']?.disabled,
  )
  t.same(
    unasked.map(({ match }: { match: object }) => match),
    [{ prefix: '/public/' }],
  )
})
