import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as (options?: { readonly type: 'minor' }) => void

/** Collects all garbage of this process. */
export function collectGarbage(): void {
  gc()
}

/** Collects the young generation only, as V8 does most of the time. */
export function collectYoungGarbage(): void {
  gc({ type: 'minor' })
}
