import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { systemClock } from '../../core/clock.ts'
import { GatepassError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import { attributesSchema, importUsers, maxUserBytes } from '../../issuer/user-import.ts'
import { generatePassword, type Users } from '../../issuer/users.ts'
import { parseStrictJson } from '../../tokens/strict-decoding.ts'
import { adminConfigOf, type CliContext } from '../context.ts'
import { type AccountDeps, openAccountDeps } from '../issuer-wiring.ts'
import { exitCodes, isoTime, print, readPassword } from '../terminal.ts'

/** Opens the stores, runs the work and closes the stores, even after an error. */
async function withAccounts<T>(
  context: CliContext,
  work: (deps: AccountDeps) => Promise<T>,
): Promise<T> {
  const deps = await openAccountDeps(adminConfigOf(context).settings, context.cwd)
  try {
    return await work(deps)
  } finally {
    await deps.close()
  }
}

export interface AddOptions {
  readonly generatePassword?: boolean
  readonly attributes?: string
}

export async function addUser(context: CliContext, name: string, options: AddOptions) {
  const attributes = parseAttributes(options.attributes ?? '{}')
  await withAccounts(context, async ({ users }) => {
    const password = options.generatePassword ? generatePassword() : await readPassword(context)
    const { sub } = await users.add({ loginName: name, password, attributes })
    context.stderr.write(`Added ${name} (${sub}).\n`)
    if (options.generatePassword) context.stdout.write(`${password}\n`)
  })
}

export async function listUsers(context: CliContext, options: { json: boolean }) {
  await withAccounts(context, ({ users }) => print(context.stdout, userRows(users), options.json))
}

async function* userRows(users: Users) {
  for await (const { loginName, sub, disabled, createdAtMs, attributes } of users.list()) {
    const created_at = isoTime(createdAtMs)
    yield { login_name: loginName, sub, disabled, created_at, attributes }
  }
}

export async function changePassword(context: CliContext, name: string) {
  await withAccounts(context, async ({ users }) => {
    const ended = await users.setPassword(name, await readPassword(context))
    context.stderr.write(`Changed the password of ${name}. Sessions ended: ${ended}.\n`)
  })
}

export async function disableUser(context: CliContext, name: string) {
  await withAccounts(context, async ({ users }) => {
    const ended = await users.disable(name)
    context.stderr.write(`Disabled ${name}. Sessions ended: ${ended}.\n`)
  })
}

/** Also works for a user whose account was deleted in the database. */
export async function disableUserById(context: CliContext, id: string) {
  await withAccounts(context, async ({ users }) => {
    const { hadAccount, revoked } = await users.disableById(id)
    const result = hadAccount ? `Disabled the user ${id}` : `There is no account with the id ${id}`
    context.stderr.write(`${result}. Sessions ended: ${revoked}.\n`)
  })
}

export async function enableUser(context: CliContext, name: string) {
  await withAccounts(context, async ({ users }) => {
    await users.enable(name)
    context.stderr.write(`Enabled ${name}.\n`)
  })
}

/** @param file a path, or `-` for standard input */
export async function importFile(context: CliContext, file: string, options: { json: boolean }) {
  const { stdin, stdout, stderr } = context
  const path = resolve(context.cwd, file)
  const bytesTotal = file === '-' ? null : (await stat(path)).size
  const counts = await withAccounts(context, ({ accounts }) => {
    // Opened when it is read: nothing would handle an error of the file while the stores open.
    const ndjson = file === '-' ? stdin : createReadStream(path)
    return importUsers(ndjson as AsyncIterable<Uint8Array>, {
      accounts,
      clock: systemClock,
      // A slow reader of the problems must not fill the memory.
      onProblem: (line, reason) =>
        new Promise<void>((resolve) => stderr.write(`line ${line}: ${reason}\n`, () => resolve())),
      onProgress: ({ lines, bytes, imported }) => {
        const share = bytesTotal ? ` (${Math.floor((100 * bytes) / bytesTotal)} %)` : ''
        stderr.write(`${lines} lines read${share}, ${imported} imported\n`)
      },
    })
  })
  if (options.json) stdout.write(`${JSON.stringify(counts)}\n`)
  else {
    const { imported, skipped, bad } = counts
    stdout.write(
      `${imported} imported, ${skipped} skipped (the user exists), ${bad} invalid lines\n`,
    )
  }
  if (counts.bad > 0) process.exitCode = exitCodes.failed
}

/** @throws `request_invalid` */
function parseAttributes(text: string): JsonObject {
  const bytes = Buffer.from(text)
  const { data } = attributesSchema.safeParse(parseStrictJson(bytes))
  if (data !== undefined && bytes.length <= maxUserBytes) return data
  const detail =
    'The attributes must be a JSON object with each member once, little nesting and finite numbers, ' +
    `of at most ${maxUserBytes} bytes.`
  throw new GatepassError('request_invalid', { detail })
}
