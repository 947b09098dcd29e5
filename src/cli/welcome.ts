export interface Welcome {
  readonly issuer: string
  readonly ports: readonly { readonly name: string; readonly port: number }[]
  readonly user: string
  /** Null where users come from an existing user base. */
  readonly password: string | null
  readonly stateFolder: string
  readonly keysUrl: string
  readonly secretIsNew: boolean
  readonly hasPlayground: boolean
  readonly since_ms: number
}

/** What `gatepass dev` shows: where things are, and lines to paste. */
export function welcome(about: Welcome): string {
  const { issuer, ports, stateFolder } = about
  const user = about.password === null ? '<name>' : about.user
  const password = about.password ?? '<password>'
  const verifiers = ports.slice(1).map(({ port }) => `http://localhost:${port}`)
  const jar = `${stateFolder}/cookies`
  const login = JSON.stringify({ username: user, password })
  const where = ports.map(
    ({ name, port }) =>
      `  ${name.padEnd(11)} http://localhost:${port}   health and metrics http://localhost:${port + 1}/metrics`,
  )
  return `
Gatepass is ready (${about.since_ms} ms)
${about.hasPlayground ? playground(about) : ''}
${where.join('\n')}
  API         ${issuer}/openapi.json
  state       ${stateFolder}/ (users, sessions, their data, logs), signing keys in ${about.keysUrl}
${about.secretIsNew ? `  secret      made for this installation, in ${stateFolder}/secret\n` : ''}
  demo user   ${user}
  password    ${password}

Sign in, and keep the access token:

  TOKEN=$(curl -s -c ${jar} -H 'Content-Type: application/json' \\
    -d '${login}' \\
    ${issuer}/login | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')

Any replica accepts it, and asks nobody:

${verifiers.map((address) => `  curl -i -H "Authorization: Bearer $TOKEN" ${address}/verify`).join('\n')}
  curl -s -H "Authorization: Bearer $TOKEN" ${verifiers[0]}/whoami

What a session keeps, every replica has, until it signs out:

  curl -i -X PUT -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
    -d '{"shirt":1}' ${verifiers[0]}/data/session/cart
  curl -s -H "Authorization: Bearer $TOKEN" ${verifiers[1]}/data/session/cart

Refresh, and sign out:

  curl -s -b ${jar} -c ${jar} -X POST ${issuer}/refresh
  curl -i -b ${jar} -c ${jar} -X POST ${issuer}/logout

Ctrl-C stops everything.
`
}

/**
 * The page where one sees it all work. The password stands behind the `#`, which a browser keeps to
 * itself; so no address gives it away to whoever asks.
 */
function playground({ issuer, password }: Welcome): string {
  const fragment = password === null ? '' : `#password=${encodeURIComponent(password)}`
  return `
  playground  ${issuer}/${fragment}
`
}
