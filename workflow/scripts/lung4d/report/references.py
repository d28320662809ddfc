"""The works that the methods text cites, by key."""

REFERENCES = {
    "zhao2025": "Zhao A, Xu M, Shahin AH, Wuyts W, Jones MG, Jacob J, Alexander DC. 4D-VQ-GAN: synthesising medical "
    "scans at any time point for personalised disease progression modelling of idiopathic pulmonary fibrosis. 2025.",
    "hofmanninger2020": "Hofmanninger J, et al. Automatic lung segmentation in routine imaging is primarily a data "
    "diversity problem, not a methodology problem. European Radiology Experimental 4(1), 2020.",
    "heinrich2015": "Heinrich MP, Handels H, Simpson IJA. Estimating large lung motion in COPD patients by symmetric "
    "regularised correspondence fields. MICCAI 2015, 338-345.",
    "hansen2021": "Hansen L, Heinrich MP. GraphRegNet: deep graph regularisation networks on sparse keypoints for "
    "dense registration of 3D lung CTs. IEEE Transactions on Medical Imaging 40(9), 2246-2257, 2021.",
    "foerstner1987": "Förstner W, Gülch E. A fast operator for detection and precise location of distinct points, "
    "corners and centres of circular features. ISPRS intercommission conference 1987, 281-305.",
    "heinrich2013": "Heinrich MP, et al. Towards realtime multimodal fusion for image-guided interventions using "
    "self-similarities. MICCAI 2013, 187-194.",
    "oord2017": "van den Oord A, Vinyals O, Kavukcuoglu K. Neural discrete representation learning. NeurIPS 2017.",
    "esser2021": "Esser P, Rombach R, Ommer B. Taming transformers for high-resolution image synthesis. CVPR 2021, "
    "12873-12883.",
    "ge2022": "Ge S, et al. Long video generation with time-agnostic VQGAN and time-sensitive transformer. ECCV 2022, "
    "102-118.",
    "zhang2018": "Zhang R, et al. The unreasonable effectiveness of deep features as a perceptual metric. CVPR 2018, "
    "586-595.",
    "ballas2015": "Ballas N, et al. Delving deeper into convolutional networks for learning video representations. "
    "2015.",
    "chen2018": "Chen RTQ, Rubanova Y, Bettencourt J, Duvenaud D. Neural ordinary differential equations. NeurIPS "
    "2018.",
    "park2021": "Park S, et al. Vid-ODE: continuous-time video generation with neural ordinary differential equation. "
    "AAAI 2021, 2412-2422.",
    "wang2004": "Wang Z, et al. Image quality assessment: from error visibility to structural similarity. IEEE "
    "Transactions on Image Processing 13(4), 600-612, 2004.",
    "lederer2009": "Lederer DJ, et al. Cigarette smoking is associated with subclinical parenchymal lung disease: the "
    "Multi-Ethnic Study of Atherosclerosis (MESA)-Lung Study. American Journal of Respiratory and Critical Care "
    "Medicine 180(5), 407-414, 2009.",
    "cox1972": "Cox DR. Regression models and life-tables. Journal of the Royal Statistical Society B 34(2), 187-220, "
    "1972.",
    "harrell1996": "Harrell FE, Lee KL, Mark DB. Multivariable prognostic models: issues in developing models, "
    "evaluating assumptions and adequacy, and measuring and reducing errors. Statistics in Medicine 15(4), 361-387, "
    "1996.",
    "benjamini1995": "Benjamini Y, Hochberg Y. Controlling the false discovery rate: a practical and powerful approach "
    "to multiple testing. Journal of the Royal Statistical Society B 57(1), 289-300, 1995.",
    "davidson2019": "Davidson-Pilon C. lifelines: survival analysis in Python. Journal of Open Source Software 4(40), "
    "1317, 2019.",
}
