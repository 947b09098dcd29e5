import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { isGatepassError } from '../../core/errors.ts'
import { generatePassword, type Users } from '../../issuer/users.ts'

/** What a `gatepass dev` installation makes for itself once, and keeps. */

export const demoUser = 'demo'

/** The text of a file; where there is none, a new one that only its owner can read. */
function keep(path: string, make: () => string): { text: string; isNew: boolean } {
  try {
    return { text: readFileSync(path, 'utf8').trim(), isNew: false }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const text = make()
  writeFileSync(path, `${text}\n`, { mode: 0o600, flag: 'wx' })
  return { text, isNew: true }
}

/** A secret of this installation: of its refresh tokens and signing keys, or of its session data. */
export function keepSecret(path: string) {
  return keep(path, () => randomBytes(32).toString('base64url'))
}

/** Makes sure that the demo user can sign in, and returns the password. */
export async function keepDemoUser(users: Users, passwordPath: string): Promise<string> {
  const { text: password, isNew } = keep(passwordPath, generatePassword)
  const attributes = { name: 'Demo User', email: 'demo@example.com', roles: ['customer'] }
  try {
    await users.add({ loginName: demoUser, password, attributes })
  } catch (error) {
    if (!isGatepassError(error, 'account_exists')) throw error
    // The account is there and its password was thrown away: it gets the new one.
    if (isNew) await users.setPassword(demoUser, password)
  }
  return password
}

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
