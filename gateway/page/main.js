/** The page: takes pictures, watches the pipeline. */

import { takePictures } from "./classify.js";
import { watchPipeline } from "./status.js";

takePictures();
watchPipeline();
