import * as z from 'zod'
import { parseStrictJson } from '../tokens/strict-decoding.ts'

export type Role = 'issuer' | 'verifier'

/** A setting: its meaning, its allowed values, and how its text form is parsed. */
export interface Setting<T = unknown> {
  /** Name in the settings file. The environment variable is `GATEPASS_` and this name in capitals. */
  readonly name: string
  /** Validates a value and supplies the default. */
  readonly schema: z.ZodType<T>
  /** Parses the text of an environment variable into the input of the schema. */
  readonly fromText: (text: string) => unknown
  readonly description: string
  /** Unit of a number; '' for everything else. */
  readonly unit: string
  /** The value is never shown. */
  readonly secret: boolean
  /** The processes that read the setting. */
  readonly roles: readonly Role[]
  /** The default, if it differs by role. */
  readonly defaultByRole?: Readonly<Record<Role, unknown>>
}

type Extras = Partial<Pick<Setting, 'unit' | 'secret' | 'defaultByRole'>>

/** Declares a setting. Its name is its key in the table of settings. */
export function setting<T>(
  roles: readonly Role[],
  schema: z.ZodType<T>,
  fromText: Setting['fromText'],
  description: string,
  extras: Extras = {},
) {
  return { roles, schema, fromText, description, unit: '', secret: false, ...extras }
}

/** Returns the environment variable of a setting: `access_ttl_s` → `GATEPASS_ACCESS_TTL_S`. */
export function environmentName(name: string): string {
  return `GATEPASS_${name.toUpperCase()}`
}

/** The allowed values of an enumeration or a flag, or the range of a number; null for all others. */
export function allowedValues({
  schema,
  unit,
}: Pick<Setting, 'schema' | 'unit'>): readonly string[] | string | null {
  const form = z.toJSONSchema(schema, { io: 'input' })
  if (form.enum !== undefined) return form.enum.map(String)
  if (form.type === 'boolean') return ['true', 'false']
  return form.type === 'integer' ? `${form.minimum} to ${form.maximum} ${unit}`.trim() : null
}

export const asText = (text: string): unknown => text

/** Text that is not a number is returned unchanged, so that the schema reports the problem. */
export const asNumber = (text: string): unknown =>
  text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text

export const asFlag = (text: string): unknown =>
  ({ true: true, '1': true, false: false, '0': false })[text.trim().toLowerCase()] ?? text

/** Splits a list at commas and white space. */
export const asList = (text: string): unknown => text.split(/[\s,]+/).filter((item) => item !== '')

export const asJson = (text: string): unknown => parseStrictJson(Buffer.from(text)) ?? text
