import type { z } from 'zod'

export type Role = 'issuer' | 'verifier'

/** One setting: what it means, what it may hold, and how its text (environment, file) is read. */
export interface Setting<T = unknown> {
  /** What the settings file calls it; the environment calls it `GATEPASS_` and this in capitals. */
  readonly name: string
  /** Checks a value and gives it its default. */
  readonly schema: z.ZodType<T>
  /** Turns the text of an environment variable into what the schema checks. */
  readonly fromText: (text: string) => unknown
  readonly description: string
  /** What a number counts; '' for everything else. */
  readonly unit: string
  /** Never shown. */
  readonly secret: boolean
  /** The processes that read it. */
  readonly roles: readonly Role[]
  /** The default, where it differs by role. */
  readonly defaultByRole?: Readonly<Record<Role, unknown>>
}

type Extras = Partial<Pick<Setting, 'unit' | 'secret' | 'defaultByRole'>>

/** A setting but its name, which is its key in the table of them. */
export function setting<T>(
  roles: readonly Role[],
  schema: z.ZodType<T>,
  fromText: Setting['fromText'],
  description: string,
  extras: Extras = {},
) {
  return { roles, schema, fromText, description, unit: '', secret: false, ...extras }
}

/** `access_ttl_s` → `GATEPASS_ACCESS_TTL_S`. */
export function environmentName(name: string): string {
  return `GATEPASS_${name.toUpperCase()}`
}

export const asText = (text: string): unknown => text

/** A text that is no number stays what it is, so that the schema can say what is wrong with it. */
export const asNumber = (text: string): unknown =>
  text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text

export const asFlag = (text: string): unknown =>
  ({ true: true, '1': true, false: false, '0': false })[text.trim().toLowerCase()] ?? text

/** A list in a text is separated by commas or white space. */
export const asList = (text: string): unknown => text.split(/[\s,]+/).filter((item) => item !== '')

export const asJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
