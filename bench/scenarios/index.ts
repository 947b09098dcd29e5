import type { Scenario } from '../harness/scenario.ts'
import { jwks } from './jwks.ts'
import { login } from './login.ts'
import { refresh } from './refresh.ts'
import { startup } from './startup.ts'
import { verify } from './verify.ts'

export const scenarios: readonly Scenario[] = [verify, login, refresh, jwks, startup]
