import { readFileSync } from 'node:fs'
import { z } from 'zod'

const list = z
  .string()
  .default('')
  .transform((text) => text.split(/[\s,]+/).filter(Boolean))
const number = z.coerce.number().int()

/**
 * The environment of a replica. Settings of Gatepass have their usual names and meanings. Each can be
 * in a file that a variable with the suffix `_FILE` names.
 */
const environment = z.object({
  SHOP_HOST: z.string().default('127.0.0.1'),
  SHOP_PORT: number.min(0).max(65_535).default(4300),
  /** The name of this replica, in `X-Replica`. */
  SHOP_NAME: z
    .string()
    .regex(/^[\w.-]{1,64}$/)
    .default(`shop-${process.pid}`),
  SHOP_ALLOWED_ORIGINS: list,
  SHOP_LOG_LEVEL: z.enum(['silent', 'error', 'warn', 'info', 'debug']).default('warn'),
  GATEPASS_ISSUER: z.url().default('http://localhost:4000'),
  GATEPASS_AUDIENCE: z.string().min(1).default('http://localhost'),
  GATEPASS_JWKS_URL: z.url().optional(),
  GATEPASS_REVOCATIONS: z.enum(['stream', 'poll', 'off']).default('stream'),
  GATEPASS_REVOCATIONS_URL: z.url().optional(),
  GATEPASS_DATA_URL: z.string().default('sqlite:.gatepass/data.db'),
  /** `off` stores values without encryption. */
  GATEPASS_DATA_SECRET: list
    .refine((secrets) => secrets.length > 0, 'is required')
    .transform((secrets) => (secrets.join() === 'off' ? null : secrets)),
  GATEPASS_DATA_DEADLINE_MS: number.min(10).max(10_000).default(250),
  GATEPASS_DATA_REPLICAS: number.min(0).max(16).default(0),
  GATEPASS_SESSION_MAX_S: number.min(1).optional(),
  GATEPASS_ACCESS_TTL_S: number.min(1).optional(),
})

export type ShopSettings = z.infer<typeof environment>

/** @throws an error that names every invalid setting, without its value */
export function readSettings(variables: NodeJS.ProcessEnv): ShopSettings {
  const inFiles: Record<string, string> = {}
  for (const name of Object.keys(environment.shape)) {
    const file = variables[`${name}_FILE`]
    if (file) inFiles[name] = readFileSync(file, 'utf8').trim()
  }
  // Compose passes an unset variable as an empty one.
  const set = Object.entries(variables).filter(([, text]) => text !== '')
  const result = environment.safeParse({ ...Object.fromEntries(set), ...inFiles })
  if (result.success) return result.data
  throw new Error(z.prettifyError(result.error))
}
