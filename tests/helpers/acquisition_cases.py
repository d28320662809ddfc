"""How scans are taken, as hospitals name and show it: the cases of test_acquisition.py, for the kind "a fact that
chooses must warn". Nothing here imports torch.
"""

from typing import Any

# Names of series, by language.
EXPIRATIONS = {
    "English": ("HRCT exhale", "Chest Expiration 1.0", "EXPIRATORY 1mm", "LUNG_EXP", "Exp. 1.0 B60f", "EXP1.25",
                "exhalation", "end-expiration", "LungExpir", "FRC 1.0", "breathe out", "residual volume 1mm",
                "HRCTexp", "ExpHRCT"),
    "German": ("Thorax Exspiration", "Lunge Exspir", "EXSP 1.0", "Thorax in Ausatmung", "HR ausgeatmet",
               "HRCTExspLunge", "exspiratorisch 1,0", "Ausatemphase"),
    "French": ("Thorax expiration", "TDM expi", "EXPI 1.0", "coupes expiratoires", "expiratoire_1mm", "Thorax expiré"),
    "Italian": ("torace espirazione", "fase espiratoria 1.0", "ESPIRIO", "TORACE_ESPIR", "in espiro", "esalazione"),
    "Spanish": ("torax espiracion", "Tórax espiración 1mm", "ESPIRATORIO", "espiración forzada", "exhalación"),
    "Dutch": ("Thorax expiratie", "uitademing", "THORAX UITADEMEN 1.0", "expiratoir", "uitgeademd"),
    "Portuguese": ("tórax expiração", "EXPIRACAO 1.0", "expiratório", "em expirac\u0327a\u0303o", "tÃ³rax expiraÃ§Ã£o"),
}  # fmt: skip
INSPIRATIONS = {
    "English": (
        "INSP 1mm",
        "Chest Inspiration",
        "HRCT inhale",
        "deep breath",
        "Full Breath hold",
        "TLC_1.0",
        "HRCTinsp",
        "breathe in",
    ),
    "German": ("Lunge Inspir", "tiefe Einatmung", "eingeatmet 1.0", "Thorax Inspiration"),
    "French": ("INSPI 1.0", "inspiration bloquée", "inspiratoire"),
    "Italian": ("torace inspirazione", "fase inspiratoria", "INSPIRIO"),
    "Spanish": ("torax inspiracion", "inspiración profunda", "inhalación"),
    "Dutch": ("inademing", "diep ingeademd", "inspiratie", "maximale inspiratie"),
    "Portuguese": ("inspiração", "INSPIRATÓRIO", "inalação"),
}
NO_BREATH = (
    "", "Thorax", "Thorax export 1.0", "experimental", "EXPERT", "EXPLORER", "exposure", "tissue expander",
    "inspection", "inspector", "Espirito Santo", "Espírito Santo 1.0", "native", "TC espiral", "TORAX ESPIRAL 5.0",
    "espessura 1mm", "ESP 1MM", "Insp/Exsp", "InspExp 1.0", "INSP+EXP", "expiry 2020", "explant", "Expediente 12",
    "spirometry", "special", "Exponat", "Hospital Esperanza", "Thorax expansion", "contrast expiration date 2020",
    "In- und Exspiration", "in/expiratie", "in e espirazione", "respiration", "esplorazione", "exploración",
    "exposición", "conspicuous", "EXTREMITY", "aspiration", "free breathing in supine", "EXPRESS CHEST",
)  # fmt: skip
PRONE = ("Thorax prone", "PRON 1.0", "HRCT_BAUCHLAGE", "procubitus", "Thorax décubitus ventral", "decubito prono",
         "posizione prona", "decúbito prono", "boca abajo", "buikligging", "decúbito ventral", "pronação", "de bruços",
         "auf dem Bauch", "ventral decubitus", "op buik", "plat ventre", "a pancia in giù", "face down",
         "pronated")  # fmt: skip
SUPINE = ("supine", "Rückenlage", "RUECKENLAGE 1.0", "décubitus dorsal", "decubito supino", "posizione supina",
          "decúbito supino", "boca arriba", "rugligging", "decúbito dorsal",
          "dorsal decubitus", "auf dem Rücken", "face up")  # fmt: skip
ON_SIDE = ("Seitenlage links", "décubitus latéral", "decubito laterale", "zijligging", "left lateral decubitus",
           "decúbito lateral")  # fmt: skip
NO_POSE = ("", "Thorax Bauch 5.0", "Abdomen", "PRONTO", "pronounced", "dorsal", "ventral hernia", "Sup 1.0", "superior",
           "prone and supine", "Rücken", "lateral", "pronation", "Pronation Unterarm", "prong")  # fmt: skip
CONTRAST = ("Thorax KM", "Thorax mit KM", "Kontrastmittel 1.0", "i.v. KM", "mit i.v. Kontrast", "Thorax C+",
            "CHEST_C+_1.0", "chest +C", "Chest w contrast", "post contrast", "tórax con contraste", "com contraste",
            "torace con mdc", "con mezzo di contrasto", "thorax injecté", "avec injection", "met contrast", "Torax c/c",
            "CTA chest", "Thorax i.v.", "CECT", "CE-CT chest", "arterial phase", "venöse Phase", "phase portale",
            "portal venous", "fase venosa")  # fmt: skip
NO_CONTRAST = ("nativ", "Thorax native", "torace nativo", "ohne KM", "Thorax o. KM", "ohne i.v. KM", "without contrast",
               "Chest w/o contrast", "non-contrast", "NONCONTRAST", "unenhanced", "sans injection", "avant injection",
               "sans injection de contraste", "sans produit de contraste", "senza mdc", "senza mezzo di contrasto",
               "sin contraste", "tórax sem contraste", "zonder contrast", "blanco", "Thorax C- 1.0", "IV-", "TORAX S/C",
               "kein Kontrastmittel", "NCCT", "pre contrast")  # fmt: skip
UNTOLD_CONTRAST = ("", "Thorax", "C-spine", "CT C+A+P", "mit und ohne KM", "with and without contrast", "W/WO contrast",
                   "con y sin contraste", "nativ und KM", "Segment IV", "Phase IV", "5 cm", "Contour",
                   "Emotion 6", "contrast resolution", "high contrast lung", "low contrast", "hoher Kontrast",
                   "Kontrastauflösung", "kontrastreich", "haut contraste", "alto contraste", "contrasto elevato",
                   "hoog contrast", "contrast to noise", "soft tissue contrast",
                   "pulmonary arterial hypertension")  # fmt: skip

# Tags of a chosen series, and the flags that it must have.
EXPIRED = "By its name the series is an expiration: compare it with expirations only."
LIES = "The patient lies {}: compare the scan with others of this pose only."
CHOSEN: list[tuple[dict[str, Any], list[str]]] = [
    ({"SeriesDescription": "Lunge Exspir 1.0"}, [EXPIRED]),
    ({"SeriesDescription": "torace espirazione"}, [EXPIRED]),
    ({"SeriesDescription": "Lung 1.0", "ProtocolName": "Thorax_expiratie"}, [EXPIRED]),
    ({"SeriesDescription": "Thorax inspir", "ProtocolName": "Thorax expir"}, []),
    ({"PatientPosition": "HFP"}, [LIES.format("prone")]),
    ({"PatientPosition": "FFP", "SeriesDescription": "EXPI"}, [LIES.format("prone"), EXPIRED]),
    ({"PatientPosition": "HFDR"}, [LIES.format("on the side")]),
    ({"SeriesDescription": "Thorax Bauchlage"}, [LIES.format("prone")]),
    (
        {"PatientPosition": "HFS", "SeriesDescription": "buikligging"},
        ["The header says that the patient lies supine, the name of the series says prone.", LIES.format("prone")],
    ),
    (
        {"ContrastBolusAgent": "Ultravist 370", "SeriesDescription": "Thorax nativ"},
        ["The header names a contrast agent, the name of the series says no contrast."],
    ),
    (
        {"ContrastBolusAgent": "none", "SeriesDescription": "tórax con contraste"},
        ["The header names no contrast agent, the name of the series says contrast."],
    ),
    ({"PatientPosition": "FFS", "SeriesDescription": "Thorax export 1.0", "ContrastBolusAgent": "NO"}, []),
]

# Tags of a baseline and of a visit, in what they differ, and a piece of the sentence for each.
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, str]]] = {
    "nothing differs": ({}, {}, {}),
    "prone follow-up": ({"PatientPosition": "HFS"}, {"PatientPosition": "HFP"}, {"pose": "Prone, the baseline supine"}),
    "feet first": ({"PatientPosition": "HFS"}, {"PatientPosition": "FFS"}, {}),
    "prone, the baseline says nothing": ({}, {"PatientPosition": "FFP"}, {"pose": "of the baseline no pose is known"}),
    "prone baseline": (
        {"SeriesDescription": "procubitus"},
        {"PatientPosition": "HFS"},
        {"pose": "Supine, the baseline prone"},
    ),
    "both prone": ({"PatientPosition": "HFP"}, {"SeriesDescription": "Bauchlage"}, {}),
    "on the side": (
        {"PatientPosition": "HFS"},
        {"PatientPosition": "HFDL"},
        {"pose": "On the side, the baseline supine"},
    ),
    "expiration": (
        {},
        {"SeriesDescription": "Thorax Expiration"},
        {"breath": "Expiration, the baseline not named one"},
    ),
    "expiration after inspiration": (
        {"SeriesDescription": "Inspir"},
        {"SeriesDescription": "Exspir"},
        {"breath": "Expiration, the baseline an inspiration"},
    ),
    "expiration first": (
        {"SeriesDescription": "espiración"},
        {"SeriesDescription": "Torax"},
        {"breath": "The baseline is an expiration, this visit not named one"},
    ),
    "inspiration after a plain name": ({"SeriesDescription": "Thorax"}, {"SeriesDescription": "INSPI 1.0"}, {}),
    "both in expiration": ({"SeriesDescription": "EXP"}, {"SeriesDescription": "uitademing"}, {}),
    "kernel": (
        {"ConvolutionKernel": "B30f"},
        {"ConvolutionKernel": "B60f"},
        {"kernel": "Kernel B60f, at the baseline B30f."},
    ),
    "kernel in small letters": ({"ConvolutionKernel": "LUNG"}, {"ConvolutionKernel": "Lung "}, {}),
    "strength of a kernel": (
        {"ConvolutionKernel": ["I50f", "2"]},
        {"ConvolutionKernel": ["I50f", "3"]},
        {"kernel": "Kernel I50f 3, at the baseline I50f 2."},
    ),
    "kernel not known": ({"ConvolutionKernel": None}, {"ConvolutionKernel": "B60f"}, {}),
    "slices": (
        {"SliceThickness": 2.5},
        {"SliceThickness": 5.0},
        {"slice thickness": "Slices of 5.0 mm, at the baseline of 2.5 mm."},
    ),
    "slices nearly as thick": ({"SliceThickness": 3.0}, {"SliceThickness": 3.2}, {}),
    "thickness not known": ({"SliceThickness": None}, {"SliceThickness": 5.0}, {}),
    "contrast": (
        {},
        {"ContrastBolusAgent": "Iomeron"},
        {"contrast": "Contrast medium, at the baseline none is named."},
    ),
    "contrast at the baseline alone": (
        {"SeriesDescription": "Thorax KM"},
        {"SeriesDescription": "sans injection"},
        {"contrast": "No contrast medium is named, at the baseline it is."},
    ),
    "contrast by agent and by name": ({"ContrastBolusAgent": "Ultravist"}, {"SeriesDescription": "con contraste"}, {}),
    "contrast contradicts itself": ({}, {"ContrastBolusAgent": "Ultravist", "SeriesDescription": "nativ"}, {}),
    "everything": (
        {"PatientPosition": "HFS", "ConvolutionKernel": "B30f", "SliceThickness": 2.5},
        {
            **{"PatientPosition": "FFP", "SeriesDescription": "EXPI C+", "ConvolutionKernel": "B70f"},
            "SliceThickness": 6.0,
        },
        {"pose": "Prone", "breath": "Expiration", "kernel": "B70f", "slice thickness": "6.0", "contrast": "medium"},
    ),
}

# Facts and numbers of scans that have no header: of the baseline, of the visit, in what they differ.
LUNGS = {"volume_right_ml": 2600.0, "volume_left_ml": 2300.0, "border_percent": 0.0}
EVIDENCE: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, str]]] = {
    "as deep a breath": (LUNGS, {**LUNGS, "volume_right_ml": 2300.0}, {}),
    "both lungs much smaller": (
        LUNGS,
        {**LUNGS, "volume_right_ml": 1600.0, "volume_left_ml": 1500.0},
        {"breath": "The lungs hold 63 % of the volume at the baseline: it may be"},
    ),
    "both lungs much larger": (
        {**LUNGS, "volume_right_ml": 1600.0, "volume_left_ml": 1500.0},
        LUNGS,
        {"breath": "the baseline may be"},
    ),
    "one lung much smaller": (LUNGS, {**LUNGS, "volume_left_ml": 600.0}, {}),
    "one lung taken out": (LUNGS, {**LUNGS, "volume_left_ml": 0.0}, {}),
    "much smaller, but cut": (
        LUNGS,
        {"volume_right_ml": 1600.0, "volume_left_ml": 1500.0, "border_percent": 3.0},
        {},
    ),
    "bowed trachea": (
        {"may_be_expiration": False},
        {"may_be_expiration": True},
        {"breath": "By the shape of the trachea the visit may be an expiration and the baseline not."},
    ),
    "bowed trachea at the baseline": (
        {"may_be_expiration": True},
        {"may_be_expiration": False},
        {"breath": "the baseline may be an expiration and the visit not"},
    ),
    "both bowed": ({"may_be_expiration": True}, {"may_be_expiration": True}, {}),
    "trachea not seen": ({"may_be_expiration": None}, {"may_be_expiration": True}, {}),
    "front denser": (
        {"may_be_prone": False},
        {"may_be_prone": True},
        {"pose": "By the density of the lungs the visit may be prone and the baseline not."},
    ),
    "front of both denser": ({"may_be_prone": True}, {"may_be_prone": True}, {}),
    "nothing known": ({}, {}, {}),
}

# All inputs of the kind, by what they try.
INPUTS = {
    "expirations named in seven languages": [name for names in EXPIRATIONS.values() for name in names],
    "inspirations named in seven languages": [name for names in INSPIRATIONS.values() for name in names],
    "names that say nothing of the breath": NO_BREATH,
    "names of poses": (*PRONE, *SUPINE, *ON_SIDE, *NO_POSE),
    "names of contrast medium": (*CONTRAST, *NO_CONTRAST, *UNTOLD_CONTRAST),
    "series chosen in an unusual state": CHOSEN,
    "pairs of visits by their headers": tuple(PAIRS),
    "pairs of visits by their pixels": tuple(EVIDENCE),
}
