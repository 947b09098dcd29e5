import type { Scenario } from '../harness/scenario.ts'
import { peersHttp } from './peers-http.ts'
import { peersJwks } from './peers-jwks.ts'
import { peersLogin } from './peers-login.ts'
import { peersLoop } from './peers-loop.ts'
import { peersRefresh } from './peers-refresh.ts'

export const peers: readonly Scenario[] = [
  ...peersLoop,
  ...peersHttp,
  peersRefresh,
  peersLogin,
  peersJwks,
]
