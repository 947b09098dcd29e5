import { GatepassError, isGatepassError } from '../core/errors.ts'
import type { JsonValue } from '../core/json.ts'
import type { OwnedFields } from './owned-fields.ts'

/** What a change expects to find: a version; null, nothing; 'any', something; undefined, whatever. */
export type Precondition = { readonly version: string } | 'any' | null | undefined

/** How often a change of a field that must be there is tried anew, when others change it too. */
const attemptsMax = 8

/**
 * Writes a field, and tells whether it is new. Without a precondition that costs a second round trip
 * where it is not.
 *
 * @throws like `OwnedFields.set`
 */
export async function putField(
  fields: OwnedFields,
  field: string,
  value: JsonValue,
  precondition: Precondition,
): Promise<{ readonly version: string; readonly isNew: boolean }> {
  if (precondition === null) return { version: await fields.set(field, value, null), isNew: true }
  if (precondition === undefined) {
    const version = await unlessConflict(() => fields.set(field, value, null))
    if (version !== null) return { version, isNew: true }
    return { version: await fields.set(field, value), isNew: false }
  }
  const write = (expected: string) => fields.set(field, value, expected)
  const version =
    precondition === 'any'
      ? await whereItIs(fields, field, write)
      : await write(precondition.version)
  return { version, isNew: false }
}

/**
 * Removes a field. Without a precondition it is none too if there was none.
 *
 * @throws like `OwnedFields.delete`
 */
export async function removeField(
  fields: OwnedFields,
  field: string,
  precondition: Precondition,
): Promise<void> {
  const remove = (expected?: string | null) => fields.delete(field, expected)
  if (precondition === 'any') await whereItIs(fields, field, remove)
  else await remove(precondition === null ? null : precondition?.version)
}

/** Makes a change of a field that must be there, whatever its version. */
async function whereItIs<T>(
  fields: OwnedFields,
  field: string,
  change: (version: string) => Promise<T>,
): Promise<T> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const found = await fields.get(field)
    if (found === null) break
    const done = await unlessConflict(() => change(found.version))
    if (done !== null) return done
  }
  throw new GatepassError('data_conflict')
}

async function unlessConflict<T>(change: () => Promise<T>): Promise<T | null> {
  try {
    return await change()
  } catch (error) {
    if (isGatepassError(error, 'data_conflict')) return null
    throw error
  }
}
