/** What the gateway answers, and what the page makes of it, for the type checker alone: `tsc --project jsconfig.json`. */

interface About {
  max_picture_bytes: number;
  media_types: string[];
  samples: { name: string; url: string }[];
  described?: boolean;
}

interface Recent {
  failed: number;
  ended?: number;
  rate_per_s: number;
  p50_ms: number | null;
  p99_ms: number | null;
}

type Values = (number | null)[];

/** Sixty values of five seconds each, oldest first; null where there was nothing yet. */
interface History {
  ended: Values;
  failed: Values;
  p50_ms: Values;
  p99_ms: Values;
  in_flight: Values;
}

interface Replica {
  url: string;
  number?: number;
  state: string;
  reason: string | null;
  version: string | null;
  feature_space: string | null;
  models?: { name: string; version: string; takes?: string | null; gives?: string | null }[];
  breaker: string;
  breaker_retry_in_s: number;
  in_flight: number;
  attempts?: Record<string, number>;
  latency_ms: number | null;
  restarts?: number;
  started_at?: string | null;
  history?: History | null;
}

interface Stage {
  name: string;
  ready: boolean;
  role?: string;
  recent?: Recent;
  replicas: Replica[];
  history?: History | null;
}

interface Offered {
  name: string;
  ready: boolean;
  reason?: string | null;
  version: string | null;
  outputs: Tensor[];
  unsure_below?: number | null;
  threshold?: number | null;
}

interface Release {
  part?: string | null;
  share?: number;
  requests: number;
  error_share: number;
  agreement: number | null;
  drift: number | null;
  extractor: string;
  heads: Record<string, string>;
}

interface Releases {
  current: string | null;
  canary: { release: string; percent: number } | null;
  shadow: { release: string; percent: number } | null;
  releases: Record<string, Release>;
}

interface Pipeline {
  ready: boolean;
  reason: string | null;
  gateway?: { version: string; uptime_s?: number; requests: Record<string, number>; recent: Recent; history?: History | null };
  history?: { step_s: number; values: number; until: string } | null;
  admission: { limit: number; in_flight: number; queued: number; turned_away: Record<string, number> };
  heads?: Offered[];
  releases?: Releases;
  launched?: { name: string | null; models: string | null } | null;
  stages: Stage[];
}

/** The description of an input or an output. */
interface Tensor {
  name: string;
  datatype: string;
  shape: number[];
}

interface Attempt {
  start_ms: number;
  ms: number;
  outcome: string;
  number: number;
  replica: number;
  is_hedge: boolean;
}

/** An entry of a time line. */
interface Hop {
  stage: string;
  head?: string | null;
  takes?: string[];
  cache?: string | null;
  start_ms: number;
  ms: number;
  outcome: string;
  attempts: Attempt[];
}

type StageTimings = Record<string, number | undefined>;

/** Problem details. */
interface Problem {
  code?: string;
  title?: string;
  stage?: string | null;
  detail?: string;
  retryable?: boolean;
  status?: number;
  id?: string;
}

/** One of the latest requests. */
interface Asked {
  id: string;
  at: string;
  route: string;
  kind: string;
  outcome: string;
  heads: { name: string; label: string | null; confidence: number | null; code: string | null }[];
  problem: Problem | null;
  release: string | null;
  part: string | null;
  timings_ms: { total: number } & Record<string, any>;
  timeline: Hop[];
}

/** A label with its confidence, or a number that has none. */
interface Prediction {
  label: string;
  confidence?: number;
  value?: number | null;
}

/** A head's answer. */
interface Head {
  name: string;
  version: string;
  predictions: Prediction[] | null;
  /** Not null: it gives every label from there on. */
  threshold: number | null;
  error: Problem | null;
  timings: StageTimings | null;
}

/** A row of the time line with its retries and hedges. */
interface Call extends Hop {
  isHead: boolean;
  takes: string[];
  parts: StageTimings;
}

/** An answer in the form in which the page draws it. */
interface Reply {
  id: string;
  total_ms: number | undefined;
  /** Where several replies are drawn on one scale: what this one is of. */
  title?: string;
  release: string | null;
  versions: Record<string, string>;
  heads: Head[];
  times: Record<string, StageTimings>;
  calls: Call[];
  problem: Problem | null;
}

/** What is sent. */
type Input = { kind: "image"; file: File; url: string | null } | { kind: "tensors"; tensors: (Tensor & { data: unknown[] })[] };

/** A request as it is sent, and as it is written for a shell or a script. */
interface Sent {
  path: string;
  contentType: string;
  body: Blob | string;
  extra: Record<string, string>;
  input: Input;
}
