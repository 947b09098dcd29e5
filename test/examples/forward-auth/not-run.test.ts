import t from 'tap'
import { parse } from 'yaml'
import { keepAliveTimeoutMs } from '../../../src/http/app.ts'
import { readProjectFile } from '../../support/project.ts'

/** Debian packages neither Traefik nor Envoy: what can be held is what their examples say. */

const identity = ['X-Auth-Subject', 'X-Auth-Session', 'X-Auth-Scope', 'X-Auth-Client']
const read = (path: string) =>
  parse(readProjectFile(`examples/forward-auth/${path}`), { merge: true })

t.test('Traefik: every route strips the headers, and every private route is guarded', async (t) => {
  const { web } = read('traefik/traefik.yml').entryPoints
  t.notOk('forwardedHeaders' in web, 'no client is believed')
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
  const stripped = middlewares.strip.headers.customRequestHeaders
  for (const name of identity) {
    for (const twin of [name, name.replaceAll('-', '_'), name.replace(/-(?=[^-]+$)/, '_')]) {
      t.equal(stripped[twin], '', twin)
    }
  }
  const guards = [middlewares.gatepass, middlewares['gatepass-reports']]
  for (const { forwardAuth } of guards) {
    t.match(forwardAuth, { trustForwardHeader: false, authResponseHeaders: identity })
  }
  t.match(guards[1].forwardAuth.address, /\/verify\?scope=reports:read$/)
})

t.test('Envoy: fails closed, and only public paths need no token', async (t) => {
  const [{ filter_chains }] = read('envoy/envoy.yaml').static_resources.listeners
  const manager = filter_chains[0].filters[0].typed_config
  t.match(manager, {
    normalize_path: true,
    common_http_protocol_options: { headers_with_underscores_action: 'DROP_HEADER' },
  })
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
  const removed = early.mutations.map(({ remove }: { remove: string }) => remove)
  t.same(
    names.filter((name) => !removed.includes(name)),
    [],
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
