/** The page: sends what it is given, watches the pipeline, explains its words. */

import { takeInputs } from "./ask.js";
import { watchPipeline } from "./live.js";
import { explainWords } from "./words.js";

explainWords();
watchPipeline();
takeInputs();
