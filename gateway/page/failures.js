/** Failures of a request as people say them, each with what to do next. */

/** @type {Object<string, (stage: string, limit: string, isPicture: boolean) => [string, string]>} */
const FAILURES = {
  unauthorized: () => ["The gateway asks who you are.", "Give your API key above: the picture is then sent again."],
  forbidden: () => ["Your key does not allow this.", "Give one above that has the scope infer."],
  invalid_input: (_stage, _limit, isPicture) => isPicture ? [
    "This picture cannot be read.",
    "Choose another one, or open it in a picture program and save it again as JPEG or PNG.",
  ] : ["The model does not take these values.", "The details say which; change it, then send again."],
  too_large: (_, limit, isPicture) => !isPicture ? ["This is too large.", "Send less at once."] : [
    "This picture is too large.",
    `Make it smaller: at most ${limit} are taken, and not too many pixels.`,
  ],
  unsupported_media_type: () => ["This kind of file is not taken.", "Choose a JPEG, PNG or WebP picture."],
  rate_limited: () => ["You ask more often than this gateway allows.", "Wait a moment, then try again."],
  unavailable: (stage) => [
    `${stage} is not available.`,
    "The stages below show which replica is missing. Start it again, then try again.",
  ],
  overloaded: () => [
    "The pipeline is overloaded.",
    "Wait a moment, then try again; if it goes on, add replicas of the slowest stage.",
  ],
  deadline_exceeded: (stage) => [
    `${stage} took too long.`,
    "Try again; if it goes on, look below for a replica that is slow or busy.",
  ],
  bad_stage_answer: (stage) => [
    `${stage} gave an answer that makes no sense.`,
    "Try again; if it goes on, look into that stage’s log.",
  ],
  engine_failed: (stage) => [
    `${stage} could not run its model.`,
    "Look into that stage’s log; the same picture is likely to fail again.",
  ],
  feature_space_mismatch: () => [
    "The head was trained on other features than the extractor gives.",
    "Deploy a head and an extractor of one feature space; both are shown below.",
  ],
  not_found: () => [
    "The gateway does not know what was asked for.",
    "Reload the page: it may be of another version than the gateway.",
  ],
  network: () => [
    "The gateway does not answer.",
    "Check that it runs and that you are connected to it, then try again.",
  ],
};

/**
 * What went wrong, and what to do next.
 * @param {Problem} problem
 * @param {string} limit how large a picture may be
 * @param {boolean} isPicture whether a picture was sent
 */
export function failure(problem, limit, isPicture) {
  const stage = problem.stage ? `The stage ${problem.stage}` : "A stage";
  const otherwise = () => [
    `The gateway could not answer${problem.status ? ` (status ${problem.status})` : ""}.`,
    problem.retryable ? "Try again in a moment." : "The gateway’s log says more; search it for the request id.",
  ];
  return (FAILURES[problem.code ?? ""] ?? otherwise)(stage, limit, isPicture);
}
