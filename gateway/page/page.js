/** The page: takes pictures, shows the last request's time line, watches the pipeline. */

import { takePictures } from "./ask.js";
import { watchPipeline } from "./pipeline.js";
import { showLast } from "./timeline.js";

takePictures(showLast);
watchPipeline();
